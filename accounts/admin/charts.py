"""How many rows were made on each of the last 30 days, as the bars of a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from accounts.admin.days import within

DAYS = 30
MINUTE_SECONDS = 60
DAY_SECONDS = 24 * 60 * 60
HEIGHT = 100
STEP = 10  # from one bar to the next, in units of the picture


@dataclass(frozen=True)
class Bar:
    """A day, in units of the picture; `address` is the list of what it counts."""

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
        """The picture in words."""
        most = max(self.bars, key=lambda bar: bar.value)
        total, highest = (number_format(number, force_grouping=True) for number in (self.total, most.value))
        words = {"total": total, "most": highest, "day": date_format(most.day, "DATE_FORMAT")}
        return _("%(total)s in 30 days, at most %(most)s a day, on %(day)s.") % words


def chart(name: str, title: str, rows: QuerySet[Any], address: Callable[[date], str]) -> Chart:
    today = timezone.now().date()
    days = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    values = [_on(day, name, rows, is_over=day < today) for day in days]
    scale = HEIGHT / max(1, *values)
    bars = [
        Bar(day, value, address(day), place * STEP, round(value * scale, 2))
        for place, (day, value) in enumerate(zip(days, values, strict=True))
    ]
    return Chart(name, title, bars)


def counted(name: str, rows: Callable[[], QuerySet[Any]], *, seconds: int = MINUTE_SECONDS) -> int:
    """How many rows there are, or were at most so many seconds ago."""
    return int(cache.get_or_set(f"accounts.overview.{name}", lambda: rows().count(), seconds) or 0)


def _on(day: date, name: str, rows: QuerySet[Any], *, is_over: bool) -> int:
    return counted(f"{name}.{day}", lambda: within(rows, day), seconds=DAY_SECONDS if is_over else MINUTE_SECONDS)
