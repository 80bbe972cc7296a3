"""The report of an import: a CSV that survives a crash without lost or duplicate lines.

It lists the lines that were rejected, and those whose user was imported without a part that cannot be stored.
"""

import csv
import io
import os
import stat
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

HEAD = b"line,reason,kind\r\n"
REJECTED, WARNING = "rejected", "warning"


class Remark(NamedTuple):
    """What the report says about a line; a line with several warnings has several."""

    line: int
    reason: str
    kind: str = REJECTED


Report = Callable[[list[Remark], int], int]  # takes the next ones and how many bytes stand; says how many do then


class ReportFile:
    """A report in a file. What is behind the bytes that stand is of a batch that was never committed, and goes."""

    def __init__(self, file: BinaryIO, *, is_resumed: bool) -> None:
        self._file = file
        self._is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        if not is_resumed:
            self._cut(0)
        if self._length() < len(HEAD):
            self._append(HEAD)

    def __call__(self, remarks: list[Remark], stands: int) -> int:
        """On disk when this returns: the database must not remember what the report has forgotten."""
        self._cut(max(stands, len(HEAD)))
        if remarks:
            rows = io.StringIO()
            csv.writer(rows).writerows(remarks)
            self._append(rows.getvalue().encode())
        return self._length()

    def _length(self) -> int:
        """Of a pipe or a terminal nothing is known, and nothing is taken back."""
        return os.fstat(self._file.fileno()).st_size if self._is_regular else 0

    def _cut(self, length: int) -> None:
        if self._length() > length:
            self._file.truncate(length)

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        if self._is_regular:
            os.fsync(self._file.fileno())
