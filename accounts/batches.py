"""Reads many rows in bounded memory, with one query for each batch.

A server-side cursor needs only one query, but all of its reads need the same connection to the server. In transaction
mode, pgbouncer keeps that only during a transaction, which would last as long as the slowest client reads.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet

BATCH_SIZE = 2000
PAGE_SIZE = 200

Row = TypeVar("Row", bound=Model)


def read(
    rows: "QuerySet[Any, Any]",
    key: str = "id",
    key_of: Callable[[Any], Any] | None = None,
    *,
    is_descending: bool = False,
) -> Iterator[Any]:
    """Yields the rows in the order of `key`, a unique column. `key_of` reads it from a row that isn't a model.

    Each batch sees the data at the time of its own query. The query must have no limit.
    """
    rows = rows.order_by(f"-{key}" if is_descending else key)
    after, find = f"{key}__{'lt' if is_descending else 'gt'}", key_of or attrgetter(key)
    batch = list(rows[:BATCH_SIZE])
    while batch:
        _release_connection()
        yield from batch
        batch = list(rows.filter(**{after: find(batch[-1])})[:BATCH_SIZE]) if len(batch) == BATCH_SIZE else []


def newest_first(*parts: "QuerySet[Row]") -> Iterator[list[Row]]:
    """Yields the rows of all parts in pages, by their UUIDs of version 7. A row that is in several parts comes once.

    Each part should have an index. For an OR of two columns, pass two parts: for an OR, the database would sort all
    rows before the first one. Each page queries the ids, and then their rows.
    """
    before: UUID | None = None
    while ids := _newest_ids(parts, before):
        before = ids[-1]
        rows = parts[0].model._base_manager.filter(pk__in=ids)
        page = sorted(rows, key=attrgetter("pk"), reverse=True)
        _release_connection()
        yield page


def _newest_ids(parts: "tuple[QuerySet[Any], ...]", before: UUID | None) -> list[UUID]:
    found: set[UUID] = set()
    for rows in parts:
        older = rows if before is None else rows.filter(pk__lt=before)
        found |= set(older.order_by("-pk").values_list("pk", flat=True)[:PAGE_SIZE])
    return sorted(found, reverse=True)[:PAGE_SIZE]


def _release_connection() -> None:
    """Returns the connection to the pool, so that other requests have it while the client reads the batch."""
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()
