"""Long lists: the paginator counts up to a bound, and only the filters that a list offers narrow it down."""

from functools import cached_property
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Counts and pages through the first 10,000 rows. Searching or filtering finds the others."""

    bound = 10_000

    @cached_property
    def counted(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.bound + 1].count())

    @property
    def has_more(self) -> bool:
        return self.counted > self.bound

    @cached_property
    def count(self) -> int:
        return min(self.counted, self.bound)


class FilteredList(ChangeList):
    """Rejects query parameters that the list does not offer as filters.

    Django would turn each into a filter on any column. With `password__startswith`, an administrator could then read
    password hashes, one character at a time.
    """

    def get_filters(self, request: HttpRequest) -> Any:
        found = super().get_filters(request)
        _filters, _has_filters, left_over, *_rest = found
        if left_over or any("\0" in value for values in self.filter_params.values() for value in values):
            raise IncorrectLookupParameters  # PostgreSQL stores no NUL, and a query with one fails
        return found
