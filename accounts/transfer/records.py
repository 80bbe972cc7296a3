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


class Layout(NamedTuple):
    """How a CSV names its columns: in its first line, or by their places, the last of which may be missing."""

    address: str = "email"  # the column without which a CSV holds no users
    columns: tuple[str, ...] = ()  # of a CSV that has no first line with names
    least: int = 0  # how many of these a line has

    @property
    def whose(self) -> str:
        """What says how many columns there are, in an error."""
        return "the format" if self.columns else "the first line"


PLAIN = Layout()


class NotReadable(ValueError):
    """The file as a whole is none of the kinds that are known; the message says why."""


def is_unicode(text: str) -> bool:
    """Whether all of it was UTF-8; what was not has become halves of surrogate pairs."""
    return text.isprintable() or not any("\ud800" <= character <= "\udfff" for character in text)
