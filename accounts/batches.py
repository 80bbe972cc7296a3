"""Reads many rows in bounded memory, with one query for each batch.

A server-side cursor needs one query in all, but also the same connection to the server for all of its reads. In
transaction mode pgbouncer keeps that for an open transaction only, which would last as long as its slowest reader.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from django.db.models import QuerySet

ROWS = 2000


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
        yield from batch
        batch = list(rows.filter(**{after: find(batch[-1])})[:ROWS]) if len(batch) == ROWS else []
