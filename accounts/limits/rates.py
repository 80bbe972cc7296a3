"""A rate: the one type that settings, counters and headers share."""

from datetime import timedelta
from typing import NamedTuple


class Rate(NamedTuple):
    """At most `limit` attempts within a period."""

    limit: int
    period: timedelta
