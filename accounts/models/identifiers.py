"""Primary keys that grow with time, so that an order by id is an order by age."""

import secrets
import uuid
from collections.abc import Callable
from datetime import datetime

import uuid_utils.compat


def new_id() -> uuid.UUID:
    """Returns a UUID of version 7 (RFC 9562): milliseconds first, then 74 random bits."""
    return uuid_utils.compat.uuid7()


def id_at(moment: datetime, bits: Callable[[int], int] = secrets.randbits) -> uuid.UUID:
    """Returns a UUID of version 7 for an object created at another time; `bits(n)` returns n random bits."""
    milliseconds = max(0, int(moment.timestamp() * 1000)) << 80
    return uuid.UUID(int=milliseconds | 7 << 76 | bits(12) << 64 | 2 << 62 | bits(62))


def first_id_at(moment: datetime) -> uuid.UUID:
    """Returns the smallest id of the millisecond. Objects created from then on have no smaller id."""
    milliseconds = max(0, int(moment.timestamp() * 1000)) << 80
    return uuid.UUID(int=milliseconds | 7 << 76 | 2 << 62)
