"""Days, in UTC: what was made on one, and the filter of a list by one."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from accounts.models.identifiers import first_id_of


def within(rows: QuerySet[Any], day: date) -> QuerySet[Any]:
    """Those of the rows that were made on this day: ids grow with time, so it is a range of their index."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return rows.filter(id__gte=first_id_of(start), id__lt=first_id_of(start + timedelta(days=1)))


class DayFilter(admin.SimpleListFilter):
    """Shown only when a link chose a day, such as a bar of the overview."""

    title = _("day")
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        day = self._day()
        return [(day.isoformat(), date_format(day, "DATE_FORMAT"))] if day else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        day = self._day()
        return within(queryset, day) if day else queryset

    def _day(self) -> date | None:
        try:
            day = date.fromisoformat(self.value() or "")
        except ValueError:
            return None
        return day if day.year in range(1970, 9999) else None  # what ids can tell
