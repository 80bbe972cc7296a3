"""Reads the records of a file: CSV, JSON lines, or one JSON document with a list of them."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

from accounts import spreadsheets

LINE_BYTES = 256 * 1024
DOCUMENT_BYTES = 512 * 1024 * 1024  # a JSON document has to be held as a whole
csv.field_size_limit(LINE_BYTES)


class Line(NamedTuple):
    """A record with its number (of its last line, or its place in a document); `fault` says why there is none."""

    number: int
    record: Mapping[str, Any]
    fault: str = ""


class NotReadable(ValueError):
    """The file as a whole is none of the kinds that are known; the message says why."""


def read(file: IO[bytes]) -> Iterator[Line]:
    """The records of a binary stream, whatever of the three kinds it is. Raises NotReadable."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    start = _first_line(text)
    if not start.strip():
        return iter(())
    if start.lstrip()[0] not in "{[":
        return _csv(start, text)
    return _json_lines(start, text) if _is_object(start) else _document(start, text)


def _first_line(text: IO[str]) -> str:
    for line in iter(lambda: text.readline(LINE_BYTES), ""):
        if line.strip():
            return line
    return ""


def _is_object(line: str) -> bool:
    """Whether it is a record by itself, and no realm of Keycloak's written on one line."""
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and not isinstance(record.get("users"), list)


def _csv(head: str, text: IO[str]) -> Iterator[Line]:
    names = [name.strip() for name in next(csv.reader([head]))]
    if len(set(names)) != len(names):
        raise NotReadable("The first line names a column twice.")
    rows = csv.reader(text)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as fault:
            yield Line(rows.line_num + 1, {}, f"no line of CSV: {fault}")
            continue
        if cells:
            yield _csv_line(rows.line_num + 1, names, cells)


def _csv_line(number: int, names: list[str], cells: list[str]) -> Line:
    if len(cells) != len(names):
        return Line(number, {}, f"it has {len(cells)} cells where the first line has {len(names)}")
    if not all(map(_is_unicode, cells)):
        return Line(number, {}, "it is not UTF-8")
    return Line(number, dict(zip(names, map(spreadsheets.restored, cells), strict=True)))


def _json_lines(head: str, text: IO[str]) -> Iterator[Line]:
    line, number = head, 1
    while line:
        if line.strip():
            yield _json_line(number, line)
        line, number = text.readline(LINE_BYTES), number + 1


def _json_line(number: int, line: str) -> Line:
    if not _is_unicode(line):
        return Line(number, {}, "it is not UTF-8")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return Line(number, {}, "it is not JSON")
    return Line(number, record) if isinstance(record, dict) else Line(number, {}, "it is no JSON object")


def _document(head: str, text: IO[str]) -> Iterator[Line]:
    whole = head + text.read(DOCUMENT_BYTES)
    if len(whole) >= DOCUMENT_BYTES:
        raise NotReadable("A JSON document of this size has to be split, or written as JSON lines.")
    try:
        document = json.loads(whole)
    except (ValueError, RecursionError) as fault:
        raise NotReadable("This is neither CSV, nor JSON lines, nor a JSON document.") from fault
    records = document.get("users") if isinstance(document, dict) else document
    if not isinstance(records, list):
        raise NotReadable("The JSON document holds no list of users.")
    for number, record in enumerate(records, start=1):
        yield Line(number, record) if isinstance(record, dict) else Line(number, {}, "it is no JSON object")


def _is_unicode(text: str) -> bool:
    return text.isprintable() or not any("\ud800" <= character <= "\udfff" for character in text)
