"""Lets steps that may be repeated commit without waiting for the disk."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def unsynced() -> Iterator[None]:
    """A transaction that outlives this process at once, but a power cut only when a later commit has been synced.

    That one may be anybody's: the log is written in order. See SQLite's `PRAGMA synchronous` in WAL mode, and
    PostgreSQL's asynchronous commit. Within another transaction it is a savepoint, and who opened that one decides.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
    elif connection.vendor == "sqlite":
        with _quick_sqlite(), transaction.atomic():
            yield
    else:
        with transaction.atomic():
            # LOCAL ends with the transaction. A setting of the session would stay on the server's connection, which
            # pgbouncer gives to the next client.
            _execute("SET LOCAL synchronous_commit = off")
            yield


@contextmanager
def _quick_sqlite() -> Iterator[None]:
    """The connection is this thread's alone, and within a transaction SQLite refuses the change."""
    _execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        _execute("PRAGMA synchronous = FULL")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
