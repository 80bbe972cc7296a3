"""Deletes many rows in slices, as on SQLite nobody else can write while one is deleted."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

AT_ONCE = 500


def delete(rows: QuerySet[Any]) -> int:
    """Deletes what still is among the rows in its turn; returns how many. Never call it in a transaction."""
    keys = rows.order_by().values_list("pk", flat=True)
    deleted = 0
    while True:
        some = list(keys[:AT_ONCE])
        began = time.monotonic()
        deleted += rows.filter(pk__in=some).delete()[0]
        if len(some) < AT_ONCE:
            return deleted
        _let_others_write(time.monotonic() - began)


def in_slices(rows: QuerySet[Any], change: Callable[[Any], int]) -> int:
    """Makes the change, one statement, to all of the rows in slices; returns how many it changed.

    It follows the primary key, so rows that stay among those to be changed come once.
    """
    changed, last = 0, UUID(int=0)
    while keys := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
        began = time.monotonic()
        changed += change(rows.filter(pk__in=keys))
        last = keys[-1]
        if len(keys) == AT_ONCE:
            _let_others_write(time.monotonic() - began)
    return changed


def _let_others_write(seconds: float) -> None:
    """Leaves SQLite's only lock alone for as long as a slice held it: a writer who waits looks every few milliseconds
    whether it is free, and would not find it so otherwise."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        time.sleep(seconds)
