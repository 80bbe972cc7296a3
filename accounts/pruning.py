"""Deletes many rows in slices, because on SQLite other writers wait while rows are deleted."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

BATCH_SIZE = 500


def delete(rows: QuerySet[Any]) -> int:
    """Deletes the rows in slices, rechecking each slice; returns how many. Never call it in a transaction."""
    keys = rows.order_by().values_list("pk", flat=True)
    deleted = 0
    while True:
        some = list(keys[:BATCH_SIZE])
        began = time.monotonic()
        deleted += rows.filter(pk__in=some).delete()[0]
        if len(some) < BATCH_SIZE:
            return deleted
        _let_others_write(time.monotonic() - began)


def in_slices(rows: QuerySet[Any], change: Callable[[Any], int]) -> int:
    """Applies the change, one statement, to the rows in slices; returns how many rows it changed.

    Follows the primary key, so each row is changed once, even if it still matches afterwards.
    """
    changed, last = 0, UUID(int=0)
    while keys := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE]):
        began = time.monotonic()
        changed += change(rows.filter(pk__in=keys))
        last = keys[-1]
        if len(keys) == BATCH_SIZE:
            _let_others_write(time.monotonic() - began)
    return changed


def _let_others_write(seconds: float) -> None:
    """Leaves SQLite's only write lock free for as long as a slice held it. Other writers poll for the lock every few
    milliseconds, and would otherwise never find it free."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        time.sleep(seconds)
