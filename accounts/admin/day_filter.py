"""Filters rows by the day, in UTC, on which they were created."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from accounts.models.identifiers import first_id_at


def filter_by_day(rows: QuerySet[Any], day: date) -> QuerySet[Any]:
    """Returns the rows created on this day, by a range of ids: ids grow with time, and have an index."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return rows.filter(id__gte=first_id_at(start), id__lt=first_id_at(start + timedelta(days=1)))


class DayFilter(admin.SimpleListFilter):
    """Appears only after a link has chosen a day, such as a bar of the overview's charts."""

    title = _("day")
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        day = self._day()
        return [(day.isoformat(), date_format(day, "DATE_FORMAT"))] if day else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        day = self._day()
        return filter_by_day(queryset, day) if day else queryset

    def _day(self) -> date | None:
        try:
            day = date.fromisoformat(self.value() or "")
        except ValueError:
            return None
        return day if day.year in range(1970, 9999) else None  # the years that ids can represent
