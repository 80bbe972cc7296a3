"""Tells of which kind a file is (CSV, JSON lines, one JSON document) and reads its records."""

import io
from collections.abc import Callable, Iterator
from typing import IO

from accounts.transfer import csv_records, json_records
from accounts.transfer.records import PLAIN, RECORD_LENGTH, Layout, Line, NotReadable
from accounts.transfer.rows import Row

_GZIP = "\x1f\udc8b"
_ZIP = "PK\x03\x04"
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # its byte order marks, which are no UTF-8


def read(file: IO[bytes], layout: Layout = PLAIN) -> Iterator[Line]:
    """The records of a binary stream, whatever of the three kinds it is. Raises NotReadable."""
    text, head, number = _opened(file)
    if not head:
        return iter(())
    return json_records.read(head, text, number) if _is_json(head) else csv_records.read(head, text, number, layout)


def unknown(file: IO[bytes], layout: Layout, unknown_of: Callable[[Row], set[str]]) -> set[str]:
    """All names that no reader knows, of the columns of a CSV or the keys of all JSON records. Raises NotReadable."""
    text, head, number = _opened(file)
    if not head:
        return set()
    if not _is_json(head):
        return unknown_of(dict.fromkeys(csv_records.names(head, layout)))
    found: set[str] = set()
    for line in json_records.read(head, text, number):
        found |= unknown_of(line.record)
    return found


def _opened(file: IO[bytes]) -> tuple[IO[str], str, int]:
    """The text, its first line that is not blank, and the number of this. Raises NotReadable."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
    head, number = _first_line(text)
    if head.startswith(_GZIP):
        raise NotReadable(
            "This file is compressed with gzip: unpack it with gunzip, or pipe `gunzip -c FILE` into `import_users -`."
        )
    if head.startswith(_ZIP):
        raise NotReadable("This is a ZIP file or a spreadsheet: unpack it, or save the spreadsheet as CSV in UTF-8.")
    if head.startswith(_UTF_16) or "\0" in head:
        raise NotReadable("This file is not UTF-8; if it is UTF-16, save it as UTF-8.")
    return text, head, number


def _is_json(head: str) -> bool:
    return head.lstrip()[0] in "{["


def _first_line(text: IO[str]) -> tuple[str, int]:
    """The first that is not blank, with its number."""
    number = 0
    while line := text.readline(RECORD_LENGTH):
        number += 1
        if line.strip():
            return line, number
    return "", number
