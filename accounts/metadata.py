"""Metadata: a JSON object of at most 16 KiB, in which an application stores its own data about a user."""

import json
import re
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.errors import InvalidInput

METADATA_BYTES = 16 * 1024
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # json.dumps() would build one for each call
_ESCAPED_NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")  # PostgreSQL's jsonb rejects it


def validate(metadata: Any) -> None:
    """Raises InvalidInput if the metadata can't be stored."""
    if not isinstance(metadata, dict):
        raise InvalidInput("metadata", "not_a_dict", _("Metadata must be a JSON object."))
    try:
        encoded = _ENCODER.encode(metadata).encode()
    except ValueError as error:  # NaN, or a lone surrogate
        raise _unstorable() from error
    if len(encoded) > METADATA_BYTES:
        raise InvalidInput("metadata", "too_large", _("Metadata must be at most 16 KiB of JSON."))
    if _ESCAPED_NUL.search(encoded):
        raise _unstorable()


def ordered(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns the metadata with sorted keys, so that pages and files show it alike on both databases. PostgreSQL's
    jsonb sorts keys by length, SQLite keeps their order, and JSON gives it no meaning (RFC 8259, section 4)."""
    found: dict[str, Any] = json.loads(json.dumps(metadata, sort_keys=True))
    return found


def _unstorable() -> InvalidInput:
    return InvalidInput("metadata", "invalid_text", _("Metadata contains characters that can't be stored."))
