"""Charts of the rows that were created on each of the last 30 days."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from accounts.admin.day_filter import filter_by_day

DAYS = 30
MINUTE_SECONDS = 60
DAY_SECONDS = 24 * 60 * 60
HEIGHT = 100
STEP = 10  # from one bar to the next, in units of the SVG image


@dataclass(frozen=True)
class Bar:
    """A day. Sizes are in units of the SVG image; `address` is the URL of the list of the day's rows."""

    day: date
    value: int
    address: str
    x: int
    height: float

    @property
    def y(self) -> float:
        return HEIGHT - self.height


@dataclass(frozen=True)
class Chart:
    name: str
    title: str
    bars: Sequence[Bar]

    @property
    def total(self) -> int:
        return sum(bar.value for bar in self.bars)

    @property
    def width(self) -> int:
        return len(self.bars) * STEP

    @property
    def description(self) -> str:
        """Describes the chart for screen readers."""
        most = max(self.bars, key=lambda bar: bar.value)
        total, highest = (number_format(number, force_grouping=True) for number in (self.total, most.value))
        words = {"total": total, "most": highest, "day": date_format(most.day, "DATE_FORMAT")}
        return _("%(total)s in 30 days. Peak: %(most)s on %(day)s.") % words


def daily_chart(name: str, title: str, rows: QuerySet[Any], address: Callable[[date], str]) -> Chart:
    today = timezone.now().date()
    days = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    values = [_count_on(day, name, rows, is_past=day < today) for day in days]
    scale = HEIGHT / max(1, *values)
    bars = [
        Bar(day, value, address(day), place * STEP, round(value * scale, 2))
        for place, (day, value) in enumerate(zip(days, values, strict=True))
    ]
    return Chart(name, title, bars)


def cached_count(name: str, rows: Callable[[], QuerySet[Any]], *, seconds: int = MINUTE_SECONDS) -> int:
    """Counts the rows; the number may be up to `seconds` old."""
    return int(cache.get_or_set(f"accounts.overview.{name}", lambda: rows().count(), seconds) or 0)


def _count_on(day: date, name: str, rows: QuerySet[Any], *, is_past: bool) -> int:
    return cached_count(
        f"{name}.{day}", lambda: filter_by_day(rows, day), seconds=DAY_SECONDS if is_past else MINUTE_SECONDS
    )
