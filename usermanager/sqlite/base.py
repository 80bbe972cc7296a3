"""A connection that takes the write lock for each transaction, and for each statement that writes outside of one."""

import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.base import SQLiteCursorWrapper

from usermanager.sqlite import write_lock
from usermanager.sqlite.write_lock import WriteLock

WRITES = {"INSERT", "UPDATE", "DELETE"}


def _parse_time(stored: bytes) -> datetime:
    moment = datetime.fromisoformat(stored.decode())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# Django parses times with a regular expression, and adds the time zone in a second step. That takes eight times as
# long, and a signed-in request reads seven times.
sqlite3.register_converter("datetime", _parse_time)


class Cursor(SQLiteCursorWrapper):
    """Keeps the rows that RETURNING yields: SQLite commits such a statement only when the last one has been read."""

    wrapper: "DatabaseWrapper"
    _returned: deque[Any] | None = None

    def execute(self, query: str, params: Any = None) -> Any:
        self._returned = None
        if self.wrapper.in_atomic_block or query.lstrip()[:6] not in WRITES:
            return super().execute(query, params)
        with self.wrapper.write_turn():
            super().execute(query, params)
            if self.description:
                self._returned = deque(super().fetchall())
        return self

    def fetchone(self) -> Any:
        if self._returned is None:
            return super().fetchone()
        return self._returned.popleft() if self._returned else None

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        if self._returned is None:
            return super().fetchmany(size)
        return [self._returned.popleft() for _row in range(min(size or 1, len(self._returned)))]

    def fetchall(self) -> list[Any]:
        if self._returned is None:
            return super().fetchall()
        rows, self._returned = list(self._returned), deque()
        return rows

    def __next__(self) -> Any:
        if self._returned is None:
            return super().__next__()
        if not self._returned:
            raise StopIteration
        return self._returned.popleft()


class DatabaseWrapper(base.DatabaseWrapper):
    """Every transaction counts as one that writes: with `transaction_mode` IMMEDIATE it takes SQLite's lock, too."""

    _lock: WriteLock | None = None  # while this connection holds it

    def create_cursor(self, name: str | None = None) -> Cursor:
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        cursor.wrapper = self
        return cursor

    @contextmanager
    def write_turn(self) -> Iterator[None]:
        self._take_turn()
        try:
            yield
        finally:
            self._end_turn()

    def _start_transaction_under_autocommit(self) -> None:
        with self.wrap_database_errors:
            self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._end_turn()
            raise

    def _commit(self) -> None:
        """Keeps the turn if SQLite rejects the commit: Django then calls _rollback()."""
        super()._commit()  # type: ignore[misc]
        self._end_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._end_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._end_turn()

    def _take_turn(self) -> None:
        """Waits for the write lock. Raises SQLite's own error after the timeout of the connection."""
        if self.is_in_memory_db():
            return
        lock = write_lock.of(str(self.settings_dict["NAME"]))
        if not lock.acquire(self.settings_dict["OPTIONS"].get("timeout", 5)):
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_BUSY, "SQLITE_BUSY"
            raise error
        self._lock = lock

    def _end_turn(self) -> None:
        lock, self._lock = self._lock, None
        if lock:
            lock.release()
