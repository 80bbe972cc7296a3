"""Long lists: pages that never count a million rows, narrowed down by the filters above them and by nothing else."""

from functools import cached_property
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Counts and pages through the first 10,000 rows; who is further down is found by searching or filtering."""

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
    """Leaves nothing of a query to Django, which would compare any column: whoever sees a list without passwords could
    learn their hashes, answer by answer."""

    def get_filters(self, request: HttpRequest) -> Any:
        found = super().get_filters(request)
        _filters, _has_filters, left_over, *_rest = found
        if left_over or any("\0" in value for values in self.filter_params.values() for value in values):
            raise IncorrectLookupParameters  # PostgreSQL stores no NUL, and fails when it is asked for one
        return found
