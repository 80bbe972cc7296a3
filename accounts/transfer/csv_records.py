"""Reads the records of a CSV file (RFC 4180), and reports each one that it can't read.

One stray quotation mark merges all lines up to the next one into a cell. So a record that breaks the rules, or looks
like several merged ones, is an error that names its lines.
"""

import csv
from collections.abc import Iterator
from typing import IO

from accounts.transfer import csv_escaping
from accounts.transfer.records import MAX_RECORD_LENGTH, TOO_LONG, Layout, Line, UnreadableFile, is_unicode

csv.field_size_limit(MAX_RECORD_LENGTH)


def read(head: str, text: IO[str], number: int, layout: Layout) -> Iterator[Line]:
    """Yields the records. `head` is the first line with text, and `number` its number. Raises UnreadableFile."""
    columns = read_columns(head, layout)
    lines = _Lines(text, number - 1, head) if layout.columns else _Lines(text, number)
    rows = csv.reader(lines, strict=True)
    while True:
        lines.begin()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            yield Line(lines.first, {}, f"{lines.span}{_describe(error)}")
            continue
        if cells:
            yield _parse(columns, cells, lines, layout)


def read_columns(head: str, layout: Layout) -> list[str]:
    """Returns the names of the columns, from the header or the layout. Raises UnreadableFile."""
    if word := _find_other_separator(head, layout):
        what = "cells" if layout.columns else "names"
        raise UnreadableFile(f"The first line has {word} between its {what}: save the file as CSV with commas.")
    if layout.columns:
        return list(layout.columns)
    try:
        found = [name.strip() for name in next(csv.reader([head], strict=True))]
    except csv.Error as error:
        raise UnreadableFile(f"The header cannot be read: {_describe(error)}.") from error
    if layout.email_column not in found:
        raise UnreadableFile(f'The header has no "{layout.email_column}" column (expected comma-separated names).')
    named = list(filter(None, found))  # spreadsheet programs add columns without a name at the end
    if len(set(named)) != len(named):
        raise UnreadableFile("The header names a column twice.")
    return found


def _find_other_separator(head: str, layout: Layout) -> str:
    """Returns the separator that the file uses instead of commas, or "" if none is found.

    In a header, it is next to the name of the email column; in a file without one, it separates enough cells.
    """
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        parts = head.strip("\r\n").split(separator)
        is_between_cells = bool(layout.columns) and len(parts) >= layout.min_columns > head.count(",")
        if is_between_cells or (len(parts) > 1 and layout.email_column in (part.strip(' "') for part in parts)):
            return word
    return ""


class _TooLong(Exception):
    """The record is longer than that of any user. Its lines have been skipped."""


class _Lines:
    """Gives csv.reader the lines of a text, and remembers the lines of the present record with their numbers."""

    def __init__(self, text: IO[str], number: int, head: str = "") -> None:
        self._text = text
        self._number = number
        self._head = head  # was already read from the text
        self.begin()

    def begin(self) -> None:
        """Starts a record at the next line."""
        self.first = self._number + 1
        self.record: list[str] = []
        self._length = 0

    @property
    def span(self) -> str:
        """The numbers of the record's lines, for an error, if there is more than one."""
        return f"lines {self.first}–{self._number}: " if self._number > self.first else ""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line, self._head = self._head or self._text.readline(MAX_RECORD_LENGTH), ""
        if not line:
            raise StopIteration
        self._number += 1
        self.record.append(line)
        self._length += len(line)
        if self._length >= MAX_RECORD_LENGTH:
            self._skip_rest(line)
            raise _TooLong
        return line

    def _skip_rest(self, line: str) -> None:
        """Skips lines until one ends outside quotation marks. Otherwise the rest of a cell could be read as a user."""
        quotes = sum(line.count('"') for line in self.record)
        while line and (quotes % 2 or not line.endswith("\n")):
            is_within = not line.endswith("\n")
            line = self._text.readline(MAX_RECORD_LENGTH)
            quotes += line.count('"')
            self._number += bool(line) and not is_within


def _parse(columns: list[str], cells: list[str], lines: _Lines, layout: Layout) -> Line:
    error = ""
    if layout.min_columns <= len(cells) < len(layout.columns):
        cells += [""] * (len(columns) - len(cells))
    if len(lines.record) > 1 and _contains_rows(columns, lines.record, layout.email_column):
        error = "a cell contains what looks like other rows, so a quotation mark may be missing"
    elif len(cells) != len(columns):
        error = f"it has {len(cells)} cells where {layout.column_source} has {len(columns)}"
    elif not all(map(is_unicode, cells)):
        error = "it is not UTF-8"
    if error:
        return Line(lines.first, {}, lines.span + error)
    return Line(lines.first, dict(zip(columns, map(csv_escaping.unescape_formulas, cells), strict=True)))


def _contains_rows(columns: list[str], record: list[str], email_column: str) -> bool:
    """Returns whether a line of the record after the first would be a row by itself."""
    rows = (next(csv.reader([line]), []) for line in record[1:])
    return any(len(cells) == len(columns) and "@" in cells[columns.index(email_column)] for cells in rows)


def _describe(error: Exception) -> str:
    if isinstance(error, _TooLong):
        return TOO_LONG
    if "unexpected end" in str(error):
        return "a quotation mark opens a cell that never ends"
    return f"it is not valid CSV ({error})"
