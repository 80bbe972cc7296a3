"""Detects whether a file is CSV, JSON lines or one JSON document, and reads its records."""

import io
from collections.abc import Callable, Iterator
from typing import IO

from accounts.transfer import csv_records, json_records
from accounts.transfer.records import MAX_RECORD_LENGTH, PLAIN, Layout, Line, UnreadableFile
from accounts.transfer.rows import Row

_GZIP = "\x1f\udc8b"
_ZIP = "PK\x03\x04"
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # its byte order marks, which are not valid UTF-8


def read(file: IO[bytes], layout: Layout = PLAIN) -> Iterator[Line]:
    """Returns the records of a binary stream of any of the three kinds. Raises UnreadableFile."""
    text, head, number = _open(file)
    if not head:
        return iter(())
    return json_records.read(head, text, number) if _is_json(head) else csv_records.read(head, text, number, layout)


def find_unknown_columns(file: IO[bytes], layout: Layout, unknown_of: Callable[[Row], set[str]]) -> set[str]:
    """Returns the columns of a CSV, or the keys of all JSON records, that no reader knows. Raises UnreadableFile."""
    text, head, number = _open(file)
    if not head:
        return set()
    if not _is_json(head):
        return unknown_of(dict.fromkeys(csv_records.read_columns(head, layout)))
    found: set[str] = set()
    for line in json_records.read(head, text, number):
        found |= unknown_of(line.record)
    return found


def _open(file: IO[bytes]) -> tuple[IO[str], str, int]:
    """Returns the text, its first line that is not blank, and the number of that line. Raises UnreadableFile."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
    head, number = _first_line(text)
    if head.startswith(_GZIP):
        raise UnreadableFile(
            "This file is compressed with gzip: unpack it with gunzip, or pipe `gunzip -c FILE` into `import_users -`."
        )
    if head.startswith(_ZIP):
        raise UnreadableFile("This is a ZIP file or a spreadsheet: unpack it, or save the spreadsheet as CSV in UTF-8.")
    if head.startswith(_UTF_16) or "\0" in head:
        raise UnreadableFile("This file is not UTF-8; if it is UTF-16, save it as UTF-8.")
    return text, head, number


def _is_json(head: str) -> bool:
    return head.lstrip()[0] in "{["


def _first_line(text: IO[str]) -> tuple[str, int]:
    """Returns the first line that is not blank, and its number."""
    number = 0
    while line := text.readline(MAX_RECORD_LENGTH):
        number += 1
        if line.strip():
            return line, number
    return "", number
