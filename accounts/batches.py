"""Reads many rows in bounded memory, with one query for each batch.

A server-side cursor needs one query in all, but also the same connection to the server for all of its reads. In
transaction mode pgbouncer keeps that for an open transaction only, which would last as long as its slowest reader.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet

ROWS = 2000
PAGE = 200

Row = TypeVar("Row", bound=Model)


def read(
    rows: "QuerySet[Any, Any]",
    key: str = "id",
    key_of: Callable[[Any], Any] | None = None,
    *,
    is_descending: bool = False,
) -> Iterator[Any]:
    """The rows in the order of `key`, a column of unique values; `key_of` finds it in a row that is no model.

    Each batch sees what is stored when it is read. Takes no query with a limit.
    """
    rows = rows.order_by(f"-{key}" if is_descending else key)
    after, find = f"{key}__{'lt' if is_descending else 'gt'}", key_of or attrgetter(key)
    batch = list(rows[:ROWS])
    while batch:
        _lend_connection()
        yield from batch
        batch = list(rows.filter(**{after: find(batch[-1])})[:ROWS]) if len(batch) == ROWS else []


def newest_first(*parts: "QuerySet[Row]") -> Iterator[list[Row]]:
    """The rows of all the parts in pages, by their ids of version 7; a row that is in several parts comes once.

    Each part should be one that an index finds, so an OR of two columns is two parts: the database would sort all rows
    of an OR for the first one. A page asks for ids, and then for their rows.
    """
    before: UUID | None = None
    while ids := _newest_ids(parts, before):
        before = ids[-1]
        rows = parts[0].model._base_manager.filter(pk__in=ids)
        page = sorted(rows, key=attrgetter("pk"), reverse=True)
        _lend_connection()
        yield page


def _newest_ids(parts: "tuple[QuerySet[Any], ...]", before: UUID | None) -> list[UUID]:
    found: set[UUID] = set()
    for rows in parts:
        older = rows if before is None else rows.filter(pk__lt=before)
        found |= set(older.order_by("-pk").values_list("pk", flat=True)[:PAGE])
    return sorted(found, reverse=True)[:PAGE]


def _lend_connection() -> None:
    """The client may take its time for what was read. Until then other requests have the connection of the pool."""
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()
