"""Long lists: pages that never count a million rows, and filters as pills above them."""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator


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
