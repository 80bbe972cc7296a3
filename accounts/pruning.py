"""Deletes many rows in slices, as on SQLite nobody else can write while one is deleted."""

from typing import Any

from django.db.models import QuerySet

AT_ONCE = 500


def delete(rows: QuerySet[Any]) -> int:
    """Deletes what still is among the rows in its turn; returns how many. Never call it in a transaction."""
    keys = rows.order_by().values_list("pk", flat=True)
    deleted = 0
    while True:
        some = list(keys[:AT_ONCE])
        deleted += rows.filter(pk__in=some).delete()[0]
        if len(some) < AT_ONCE:
            return deleted
