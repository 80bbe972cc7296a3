"""What a file is read as: one record after the other, or the reason why there is none."""

from collections.abc import Mapping
from typing import Any, NamedTuple

RECORD_LENGTH = 256 * 1024  # characters; all fields of a user together take a tenth of that
TOO_LONG = "it is too long for a user"


class Line(NamedTuple):
    """A record with its number (of its first line, or its place in a document); `fault` says why there is none."""

    number: int
    record: Mapping[str, Any]
    fault: str = ""


class NotReadable(ValueError):
    """The file as a whole is none of the kinds that are known; the message says why."""


def is_unicode(text: str) -> bool:
    """Whether all of it was UTF-8; what was not has become halves of surrogate pairs."""
    return text.isprintable() or not any("\ud800" <= character <= "\udfff" for character in text)
