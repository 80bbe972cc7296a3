"""What an application may keep about a user for its own use: a JSON object of at most 16 KiB."""

import json
import re
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.errors import InvalidInput

METADATA_BYTES = 16 * 1024
_ESCAPED_NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")  # which PostgreSQL's jsonb refuses


def check(metadata: Any) -> None:
    """Raises InvalidInput when it cannot be stored."""
    if not isinstance(metadata, dict):
        raise InvalidInput("metadata", "not_a_dict", _("Metadata is a JSON object."))
    try:
        encoded = json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as fault:  # NaN, or half of a surrogate pair
        raise _unstorable() from fault
    if len(encoded) > METADATA_BYTES:
        raise InvalidInput("metadata", "too_large", _("Metadata takes at most 16 KiB of JSON."))
    if _ESCAPED_NUL.search(encoded):
        raise _unstorable()


def ordered(metadata: dict[str, Any]) -> dict[str, Any]:
    """The same with sorted keys, for people and files. PostgreSQL's jsonb sorts them by length, SQLite keeps the order
    in which they were written, and JSON gives the order no meaning (RFC 8259, section 4)."""
    found: dict[str, Any] = json.loads(json.dumps(metadata, sort_keys=True))
    return found


def _unstorable() -> InvalidInput:
    return InvalidInput("metadata", "invalid_text", _("Metadata holds something that no database can store."))
