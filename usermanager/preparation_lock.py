"""Lets one process at a time prepare a database, of all that use it. A process that dies releases the lock."""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from django.conf import settings
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

ADVISORY_LOCK = 0x757365726D677220  # as it stands in pg_locks: classid 0x75736572, objid 0x6D677220
PAUSE_SECONDS = 0.1

log = logging.getLogger(__name__)


def held() -> AbstractContextManager[None]:
    """Waits for as long as another process prepares the database. Raises django.db.Error."""
    if not settings.IS_SQLITE:
        return _in_database()
    file = settings.DATABASE["NAME"]
    return nullcontext() if file == ":memory:" else _beside(Path(file))


@contextmanager
def _beside(database: Path) -> Iterator[None]:
    """A file of its own: closing SQLite's own file would release the locks that SQLite holds on it."""
    path = database.with_name(f"{database.name}.lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise OperationalError(f"{path} cannot be written ({error.strerror})") from error
    with file:
        _wait_for(lambda: _is_locked(file.fileno()))
        yield


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _in_database() -> Iterator[None]:
    """A lock of a transaction that stays open on a connection of its own.

    pgbouncer keeps a server connection for a transaction, and a lock of a session would stay on it. Asks again instead
    of waiting in the database, where a waiting statement can block CREATE INDEX CONCURRENTLY of a migration.
    """
    database = connection.copy()
    try:
        database.set_autocommit(False)
        _wait_for(lambda: _is_granted(database))
        yield
    finally:
        database.close()


def _is_granted(database: BaseDatabaseWrapper) -> bool:
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        is_granted = bool(cursor.fetchone()[0])
        if is_granted:  # the transaction is idle while the migrations run
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    if not is_granted:
        database.rollback()
    return is_granted


def _wait_for(is_ours: Callable[[], bool]) -> None:
    if is_ours():
        return
    log.info("another process prepares the database; this one waits until it is done")
    while not is_ours():
        time.sleep(PAUSE_SECONDS)
