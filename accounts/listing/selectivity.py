"""Picks the query plan for user filters on SQLite, which has no per-value statistics.

If few users match, their ids are looked up in the filter's index and then sorted, unless the index has the order of the
list anyway. If many match, a scan in the order of the list soon fills a page. The filter's index is then kept out of
the plan, because all of its matches would have to be sorted. PostgreSQL has statistics and makes the same choice.
"""

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Coalesce

from accounts.models import User

#: The most matches that are looked up in the index. At a million users, either plan takes about 10 ms for this number.
MAX_LOOKUPS = 3000


def with_value(users: QuerySet[User], condition: Q, *, in_order: bool = False) -> QuerySet[User]:
    """Filters by the value of an indexed column. `in_order` says that the index also has the order of the list."""
    if connection.vendor != "sqlite":
        return users.filter(condition)
    if _are_few(condition):
        return users.filter(condition) if in_order else _looked_up(users, condition)
    return users.filter(Coalesce(ExpressionWrapper(condition, BooleanField()), False))


def within_range(users: QuerySet[User], condition: Q) -> QuerySet[User]:
    """Filters by a range of an indexed column. A list in the order of this column begins where the range does."""
    if connection.vendor == "sqlite" and _are_few(condition):
        return _looked_up(users, condition)
    return users.filter(condition)


def _are_few(condition: Q) -> bool:
    return User.objects.filter(condition).order_by().values("pk")[: MAX_LOOKUPS + 1].count() <= MAX_LOOKUPS


def _looked_up(users: QuerySet[User], condition: Q) -> QuerySet[User]:
    return users.filter(pk__in=User.objects.filter(condition).order_by().values("pk"))
