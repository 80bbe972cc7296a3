"""The records of a file, the layout of a CSV, and the error for a file that can't be read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_RECORD_LENGTH = 256 * 1024  # characters; all fields of a user together need a tenth of that
TOO_LONG = "it is too long for a user"


class Line(NamedTuple):
    """A record and its number (of its first line, or its position in a document); `error` says why it is missing."""

    number: int
    record: Mapping[str, Any]
    error: str = ""


class Layout(NamedTuple):
    """The columns of a CSV: named by its header or fixed by the format. The last of the fixed ones may be missing."""

    email_column: str = "email"  # required in a header
    columns: tuple[str, ...] = ()  # of a CSV without a header
    min_columns: int = 0  # the fewest that a line of such a CSV may have

    @property
    def column_source(self) -> str:
        """Names the source of the number of columns, for an error."""
        return "the format" if self.columns else "the first line"


PLAIN = Layout()


class UnreadableFile(ValueError):
    """The file as a whole can't be read; the message says why."""


def is_unicode(text: str) -> bool:
    """Returns whether all of the text was UTF-8. Other bytes were decoded to lone surrogates."""
    return text.isprintable() or not any("\ud800" <= character <= "\udfff" for character in text)
