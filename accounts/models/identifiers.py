"""Primary keys that grow with time, so that pages by id alone are pages by age."""

import secrets
import uuid
from collections.abc import Callable
from datetime import datetime

import uuid_utils.compat


def new_id() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): milliseconds first, then 74 random bits."""
    return uuid_utils.compat.uuid7()


def id_of(moment: datetime, bits: Callable[[int], int] = secrets.randbits) -> uuid.UUID:
    """A UUID of version 7 for something that was made at another time than now; `bits` makes so many random ones."""
    milliseconds = max(0, int(moment.timestamp() * 1000)) << 80
    return uuid.UUID(int=milliseconds | 7 << 76 | bits(12) << 64 | 2 << 62 | bits(62))


def first_id_of(moment: datetime) -> uuid.UUID:
    """The smallest id of the millisecond: what was made from then on has none below it."""
    milliseconds = max(0, int(moment.timestamp() * 1000)) << 80
    return uuid.UUID(int=milliseconds | 7 << 76 | 2 << 62)
