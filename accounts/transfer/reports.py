"""The report of an import: a CSV that survives a crash without lost or duplicate lines.

It lists the rejected lines, and the lines whose user was imported without a value that can't be stored.
"""

import csv
import io
import os
import stat
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

HEADER = b"line,reason,kind\r\n"
REJECTED, WARNING = "rejected", "warning"


class Remark(NamedTuple):
    """One row of the report. A line with several warnings has several."""

    line: int
    reason: str
    kind: str = REJECTED


Report = Callable[[list[Remark], int], int]  # gets the next remarks and the committed bytes; returns the new length


class ReportFile:
    """A report in a file. Cuts off bytes behind the committed ones: they belong to a batch that was never committed."""

    def __init__(self, file: BinaryIO, *, is_resumed: bool) -> None:
        self._file = file
        self._is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        if not is_resumed:
            self._cut(0)
        if self._length() < len(HEADER):
            self._append(HEADER)

    def __call__(self, remarks: list[Remark], committed_bytes: int) -> int:
        """Appends the remarks, and returns once they are on disk: the database must not commit lines that are not."""
        self._cut(max(committed_bytes, len(HEADER)))
        if remarks:
            rows = io.StringIO()
            csv.writer(rows).writerows(remarks)
            self._append(rows.getvalue().encode())
        return self._length()

    def _length(self) -> int:
        """Returns 0 for a pipe or a terminal, which can't be cut."""
        return os.fstat(self._file.fileno()).st_size if self._is_regular else 0

    def _cut(self, length: int) -> None:
        if self._length() > length:
            self._file.truncate(length)

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        if self._is_regular:
            os.fsync(self._file.fileno())
