"""Lets one process at a time set up a database. A process that dies releases the lock."""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from django.conf import settings
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

ADVISORY_LOCK = 0x757365726D677220  # pg_locks shows it as classid 0x75736572, objid 0x6D677220
PAUSE_SECONDS = 0.1

log = logging.getLogger(__name__)


def held() -> AbstractContextManager[None]:
    """Returns a context manager that waits for the lock and holds it. Raises django.db.Error."""
    if not settings.IS_SQLITE:
        return _advisory_lock()
    file = settings.DATABASE_FILE
    return nullcontext() if file == ":memory:" else _locked_file(Path(file))


@contextmanager
def _locked_file(database: Path) -> Iterator[None]:
    """Locks a separate file. Closing the database file would release the locks that SQLite holds on it."""
    path = database.with_name(f"{database.name}.lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise OperationalError(f"{path} cannot be written ({error.strerror})") from error
    with file:
        _wait_until(lambda: _try_file_lock(file.fileno()))
        yield


def _try_file_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _advisory_lock() -> Iterator[None]:
    """Takes an advisory lock in a transaction that stays open on a separate connection.

    A lock of the database session would stay on pgbouncer's server connection after the client is gone. Repeats the
    attempt instead of waiting in the database: a waiting statement can block a migration's CREATE INDEX CONCURRENTLY.
    """
    database = connection.copy()
    try:
        database.set_autocommit(False)
        _wait_until(lambda: _try_advisory_lock(database))
        yield
    finally:
        database.close()


def _try_advisory_lock(database: BaseDatabaseWrapper) -> bool:
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        is_granted = bool(cursor.fetchone()[0])
        if is_granted:  # the transaction is idle while the migrations run, so PostgreSQL must not end it
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    if not is_granted:
        database.rollback()
    return is_granted


def _wait_until(try_lock: Callable[[], bool]) -> None:
    if try_lock():
        return
    log.info("another process sets up the database; waiting for it")
    while not try_lock():
        time.sleep(PAUSE_SECONDS)
