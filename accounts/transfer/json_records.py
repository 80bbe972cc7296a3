"""Reads the records of JSON lines, or of one JSON document with a list of them."""

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from accounts.transfer.records import RECORD_LENGTH, TOO_LONG, Line, NotReadable, is_unicode

DOCUMENT_LENGTH = 512 * 1024 * 1024  # it has to be held as a whole


class _Twice(ValueError):
    """An object names a key twice, so that nobody can tell which of the two holds."""


def read(head: str, text: IO[str], number: int) -> Iterator[Line]:
    """The records from this line on, which has this number. Raises NotReadable."""
    return _lines(head, text, number) if _is_record(head) else _document(head, text)


def _is_record(line: str) -> bool:
    """Whether it is an object by itself, if a faulty one, and no realm of Keycloak's written on one line."""
    try:
        record = json.loads(line)
    except RecursionError:
        return line.startswith("{") and line.endswith("\n")
    except ValueError:
        return False
    return isinstance(record, dict) and not _is_realm(record)


def _is_realm(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("users"), list)


def _lines(line: str, text: IO[str], number: int) -> Iterator[Line]:
    while line:
        if len(line) >= RECORD_LENGTH:
            yield Line(number, {}, TOO_LONG)
            _pass_over(line, text)
        elif line.strip():
            yield _line(number, line)
        line, number = text.readline(RECORD_LENGTH), number + 1


def _pass_over(line: str, text: IO[str]) -> None:
    """The rest of a line, which must not be read as another one."""
    while line and not line.endswith("\n"):
        line = text.readline(RECORD_LENGTH)


def _line(number: int, line: str) -> Line:
    if not is_unicode(line):
        return Line(number, {}, "it is not UTF-8")
    try:
        return _record(number, json.loads(line, object_pairs_hook=_object))
    except _Twice:
        return Line(number, {}, "it names a key twice")
    except (ValueError, RecursionError):
        return Line(number, {}, "it is not JSON")


def _record(number: int, record: Any) -> Line:
    return Line(number, record) if isinstance(record, dict) else Line(number, {}, "it is no JSON object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise _Twice
    return held


def _document(head: str, text: IO[str]) -> Iterator[Line]:
    whole = head + text.read(DOCUMENT_LENGTH)
    if len(whole) >= DOCUMENT_LENGTH:
        raise NotReadable("A JSON document of this size has to be split, or written as JSON lines.")
    try:
        document = json.loads(whole, object_pairs_hook=_object)
    except _Twice as fault:
        raise NotReadable("An object of the JSON document names a key twice.") from fault
    except (ValueError, RecursionError) as fault:
        raise NotReadable("This is neither CSV, nor JSON lines, nor a JSON document.") from fault
    return (_record(number, record) for number, record in enumerate(_users(document), start=1))


def _users(document: Any) -> Iterable[Any]:
    """A list of them, or Keycloak's realms: one, or a list of all. Raises NotReadable."""
    if _is_realm(document):
        return list(document["users"])
    if not isinstance(document, list):
        raise NotReadable("The JSON document holds no list of users.")
    if document and all(map(_is_realm, document)):
        return [user for realm in document for user in realm["users"]]
    return document
