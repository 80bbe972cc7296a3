"""Commits steps that may be repeated without waiting for the disk."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def asynchronous_commit() -> Iterator[None]:
    """Opens a transaction that survives a crash of this process, and a power cut once a later commit was synced.

    Any later commit will do, as the log is written in order. See SQLite's `PRAGMA synchronous` in WAL mode, and
    PostgreSQL's asynchronous commit. Within another transaction this is a savepoint, and that transaction decides.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
    elif connection.vendor == "sqlite":
        with _sqlite_without_sync(), transaction.atomic():
            yield
    else:
        with transaction.atomic():
            # LOCAL ends with the transaction. A session setting would stay on the server connection, which pgbouncer
            # gives to the next client.
            _execute("SET LOCAL synchronous_commit = off")
            yield


@contextmanager
def _sqlite_without_sync() -> Iterator[None]:
    """Switches the thread's connection, as SQLite rejects the change within a transaction. Both PRAGMAs take 16 µs."""
    _execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        _execute("PRAGMA synchronous = FULL")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
