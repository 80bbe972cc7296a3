"""Tells of which kind a file is (CSV, JSON lines, one JSON document) and reads its records."""

import io
from collections.abc import Iterator
from typing import IO

from accounts.transfer import csv_records, json_records
from accounts.transfer.records import RECORD_LENGTH, Line, NotReadable

_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # its byte order marks, which are no UTF-8


def read(file: IO[bytes]) -> Iterator[Line]:
    """The records of a binary stream, whatever of the three kinds it is. Raises NotReadable."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
    head, number = _first_line(text)
    if head.startswith(_UTF_16) or "\0" in head:
        raise NotReadable("This file is not UTF-8; if it is UTF-16, save it as UTF-8.")
    if not head:
        return iter(())
    is_json = head.lstrip()[0] in "{["
    return json_records.read(head, text, number) if is_json else csv_records.read(head, text, number)


def _first_line(text: IO[str]) -> tuple[str, int]:
    """The first that is not blank, with its number."""
    number = 0
    while line := text.readline(RECORD_LENGTH):
        number += 1
        if line.strip():
            return line, number
    return "", number
