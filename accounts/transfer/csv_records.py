"""Reads the records of a CSV file (RFC 4180), and loses none of them without a word.

One quotation mark too many makes a cell of all the lines up to the next one. So whatever breaks the rules, or looks as
if this had happened, is a fault that names its lines.
"""

import csv
from collections.abc import Iterator
from typing import IO

from accounts import spreadsheets
from accounts.transfer.records import RECORD_LENGTH, TOO_LONG, Layout, Line, NotReadable, is_unicode

csv.field_size_limit(RECORD_LENGTH)


def read(head: str, text: IO[str], number: int, layout: Layout) -> Iterator[Line]:
    """The records after the line with their names, which has this number. Raises NotReadable."""
    columns = names(head, layout)
    lines = _Lines(text, number - 1, head) if layout.columns else _Lines(text, number)
    rows = csv.reader(lines, strict=True)
    while True:
        lines.begin()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as fault:
            yield Line(lines.first, {}, f"{lines.span}{_told(fault)}")
            continue
        if cells:
            yield _line(columns, cells, lines, layout)


def names(head: str, layout: Layout) -> list[str]:
    """Of the columns, from the first line or the layout. Raises NotReadable."""
    if word := _other_separator(head, layout):
        what = "cells" if layout.columns else "names"
        raise NotReadable(f"The first line has {word} between its {what}: save the file as CSV with commas.")
    if layout.columns:
        return list(layout.columns)
    try:
        found = [name.strip() for name in next(csv.reader([head], strict=True))]
    except csv.Error as fault:
        raise NotReadable(f"The first line names no columns: {_told(fault)}.") from fault
    if layout.address not in found:
        raise NotReadable(f"The first line names no column `{layout.address}`; a comma stands between two names.")
    named = list(filter(None, found))  # spreadsheets write columns without a name at the end
    if len(set(named)) != len(named):
        raise NotReadable("The first line names a column twice.")
    return found


def _other_separator(head: str, layout: Layout) -> str:
    """What stands instead of commas beside the name of the address or, in a file without names, between as many cells
    as it needs; nothing if that is not found."""
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        parts = head.strip("\r\n").split(separator)
        is_between_cells = bool(layout.columns) and len(parts) >= layout.least > head.count(",")
        if is_between_cells or (len(parts) > 1 and layout.address in (part.strip(' "') for part in parts)):
            return word
    return ""


class _TooLong(Exception):
    """The record is longer than any user; it has been passed over to its end."""


class _Lines:
    """The lines of a text as csv.reader takes them, with the numbers of those that the record consists of."""

    def __init__(self, text: IO[str], number: int, head: str = "") -> None:
        self._text = text
        self._number = number
        self._head = head  # a line that was read already
        self.begin()

    def begin(self) -> None:
        """The next line is the first of a record."""
        self.first = self._number + 1
        self.record: list[str] = []
        self._length = 0

    @property
    def span(self) -> str:
        """Which lines the record takes, if there are more than one."""
        return f"lines {self.first}–{self._number}: " if self._number > self.first else ""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line, self._head = self._head or self._text.readline(RECORD_LENGTH), ""
        if not line:
            raise StopIteration
        self._number += 1
        self.record.append(line)
        self._length += len(line)
        if self._length >= RECORD_LENGTH:
            self._pass_over(line)
            raise _TooLong
        return line

    def _pass_over(self, line: str) -> None:
        """Up to the first end of a line where no quote is open: what is within a cell must not be read as a user."""
        quotes = sum(line.count('"') for line in self.record)
        while line and (quotes % 2 or not line.endswith("\n")):
            is_within = not line.endswith("\n")
            line = self._text.readline(RECORD_LENGTH)
            quotes += line.count('"')
            self._number += bool(line) and not is_within


def _line(columns: list[str], cells: list[str], lines: _Lines, layout: Layout) -> Line:
    fault = ""
    if layout.least <= len(cells) < len(layout.columns):
        cells += [""] * (len(columns) - len(cells))
    if len(lines.record) > 1 and _has_rows_within(columns, lines.record, layout.address):
        fault = "a cell holds what looks like other rows, so a quotation mark may be missing"
    elif len(cells) != len(columns):
        fault = (
            f"it has {len(cells)} cells where {'the format' if layout.columns else 'the first line'} has {len(columns)}"
        )
    elif not all(map(is_unicode, cells)):
        fault = "it is not UTF-8"
    if fault:
        return Line(lines.first, {}, lines.span + fault)
    return Line(lines.first, dict(zip(columns, map(spreadsheets.restored, cells), strict=True)))


def _has_rows_within(columns: list[str], record: list[str], address: str) -> bool:
    """Whether a line of it, the first excepted, would be a row by itself."""
    rows = (next(csv.reader([line]), []) for line in record[1:])
    return any(len(cells) == len(columns) and "@" in cells[columns.index(address)] for cells in rows)


def _told(fault: Exception) -> str:
    if isinstance(fault, _TooLong):
        return TOO_LONG
    if "unexpected end" in str(fault):
        return "a quotation mark opens a cell that never ends"
    return f"it is no CSV ({fault})"
