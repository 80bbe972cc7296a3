"""Reads the records of JSON lines, or of one JSON document with a list of them."""

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from accounts.transfer.records import MAX_RECORD_LENGTH, TOO_LONG, Line, UnreadableFile, is_unicode

MAX_DOCUMENT_LENGTH = 512 * 1024 * 1024  # characters; a document is read into memory as a whole


class _DuplicateKey(ValueError):
    """An object names a key twice, so its value is ambiguous."""


def read(head: str, text: IO[str], number: int) -> Iterator[Line]:
    """Yields the records. `head` is the first line with text, and `number` its number. Raises UnreadableFile."""
    return _lines(head, text, number) if _is_record(head) else _document(head, text)


def _is_record(line: str) -> bool:
    """Returns whether the line is a JSON object by itself, even an invalid one, and not a whole Keycloak realm."""
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
        if len(line) >= MAX_RECORD_LENGTH:
            yield Line(number, {}, TOO_LONG)
            while line and not line.endswith("\n"):  # the rest of the line must not be read as another one
                line = text.readline(MAX_RECORD_LENGTH)
        elif line.strip():
            yield _line(number, line)
        line, number = text.readline(MAX_RECORD_LENGTH), number + 1


def _line(number: int, line: str) -> Line:
    if not is_unicode(line):
        return Line(number, {}, "it is not UTF-8")
    try:
        return _record(number, json.loads(line, object_pairs_hook=_object))
    except _DuplicateKey:
        return Line(number, {}, "it names a key twice")
    except (ValueError, RecursionError):
        return Line(number, {}, "it is not JSON")


def _record(number: int, record: Any) -> Line:
    return Line(number, record) if isinstance(record, dict) else Line(number, {}, "it is not a JSON object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise _DuplicateKey
    return held


def _document(head: str, text: IO[str]) -> Iterator[Line]:
    whole = head + text.read(MAX_DOCUMENT_LENGTH)
    if len(whole) >= MAX_DOCUMENT_LENGTH:
        raise UnreadableFile("The JSON document is too large: split it, or write it as JSON lines.")
    try:
        document = json.loads(whole, object_pairs_hook=_object)
    except _DuplicateKey as error:
        raise UnreadableFile("An object of the JSON document names a key twice.") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableFile("This is neither CSV, nor JSON lines, nor a JSON document.") from error
    return (_record(number, record) for number, record in enumerate(_users(document), start=1))


def _users(document: Any) -> Iterable[Any]:
    """Returns the users of a list, of one Keycloak realm, or of a list of realms. Raises UnreadableFile."""
    if _is_realm(document):
        return list(document["users"])
    if not isinstance(document, list):
        raise UnreadableFile("The JSON document has no list of users.")
    if document and all(map(_is_realm, document)):
        return [user for realm in document for user in realm["users"]]
    return document
