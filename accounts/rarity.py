"""Tells SQLite which filters leave few users, as it knows only the tables' indexes and not how common a value is.

Where few are left, their ids are looked up in the index of the filter, and the few are put in order, unless the index
has them in the order of the list anyway. Where many are left, they are soon met by whoever goes through the users in
the order of the list; then the index is kept out, from which all of them would have to be sorted. PostgreSQL counts
the values itself and chooses alike.
"""

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Coalesce

from accounts.models import User

#: At a million users either way takes about 10 ms with so many.
FEW = 3000


def with_value(users: QuerySet[User], condition: Q, *, in_order: bool = False) -> QuerySet[User]:
    """Those for whom a column that has an index has some value; `in_order` if the index has the list's order, too."""
    if connection.vendor != "sqlite":
        return users.filter(condition)
    if _are_few(condition):
        return users.filter(condition) if in_order else _looked_up(users, condition)
    return users.filter(Coalesce(ExpressionWrapper(condition, BooleanField()), False))


def within_range(users: QuerySet[User], condition: Q) -> QuerySet[User]:
    """As with_value(); but a list in the order of this column is to begin where the range does."""
    if connection.vendor == "sqlite" and _are_few(condition):
        return _looked_up(users, condition)
    return users.filter(condition)


def _are_few(condition: Q) -> bool:
    return User.objects.filter(condition).order_by().values("pk")[: FEW + 1].count() <= FEW


def _looked_up(users: QuerySet[User], condition: Q) -> QuerySet[User]:
    return users.filter(pk__in=User.objects.filter(condition).order_by().values("pk"))
