"""Lets steps that may be repeated commit without waiting for the disk."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

QUICK_AND_SAFE = {
    "sqlite": ("PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL"),
    "postgresql": ("SET synchronous_commit = off", "SET synchronous_commit = on"),
}


@contextmanager
def unsynced() -> Iterator[None]:
    """Commits in the block outlive this process at once, but a power cut only when the next commit has been synced.

    That one may be anybody's: the log is written in order. See SQLite's `PRAGMA synchronous` in WAL mode, and
    PostgreSQL's asynchronous commit.
    """
    if connection.in_atomic_block:  # whoever opened the transaction decides
        yield
        return
    quick, safe = QUICK_AND_SAFE[connection.vendor]
    _execute(quick)
    try:
        yield
    finally:
        _execute(safe)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
