"""Validates one row of an import, and turns it into the fields of a user.

A row maps names to text, as in CSV, or to JSON values. The names are those of a user in the API, and `password_hash`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime

from accounts import metadata, permissions, validators
from accounts.email_addresses import ADDRESS_LENGTH, canonical_email
from accounts.errors import AccountError
from accounts.transfer import hashes

_TIMES = ("created_at", "last_login_at", "suspended_until", "invited_at", "invitation_ended_at")
_LANGUAGES = dict(settings.LANGUAGES)
_FLAGS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}

Row = Mapping[str, Any]


# A user is imported without these if they can't be stored; a later import with corrected values can still add them.
# The others identify the user, decide about permissions, or can't be updated.
OPTIONAL_PARTS = frozenset({"full_name", "locale", "metadata", "suspension_reason", "password_hash"})


class Rejected(ValueError):
    """The row is invalid; the message says why, without quoting its values."""


@dataclass(frozen=True)
class UnreadableValue:
    """The value of a column that a reader could not convert."""

    reason: str


class Parsed(NamedTuple):
    """The fields of a user, and warnings about columns that were left out."""

    fields: dict[str, Any]
    warnings: tuple[str, ...]


def parse(row: Row, *, is_strict: bool = False) -> Parsed:
    """Returns the fields of a user that the row names, and `email_key`. An empty value counts as not named.

    Leaves out invalid values of OPTIONAL_PARTS, unless it is strict. Raises Rejected.
    """
    if not row.get("email"):
        raise Rejected("email: it is missing")
    fields: dict[str, Any] = {}
    warnings = []
    for name, convert in _COLUMNS.items():
        value = row.get(name)
        if value is None or value == "":
            continue
        try:
            fields[name] = _field(name, convert, value)
        except Rejected as error:
            if is_strict or name not in OPTIONAL_PARTS:
                raise
            warnings.append(f"{error}; imported without it")
    fields["email"], fields["email_key"] = fields["email"]
    for name in ("suspended_until", "suspension_reason"):
        if name in fields and fields.get("is_active", True):
            raise Rejected(f"{name}: it requires is_active to be false")
    if "password_hash" in fields:
        fields["password"] = fields.pop("password_hash")
    return Parsed(fields, tuple(warnings))


def _field(name: str, convert: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, UnreadableValue):
        raise Rejected(f"{name}: {value.reason}")
    try:
        return convert(value)
    except hashes.UnknownHash as error:
        raise Rejected(f"{name}: {error}") from None
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, ValidationError, AccountError):
        raise Rejected(f"{name}: {_EXPECTED[name]}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _email(value: Any) -> tuple[str, str]:
    """Returns the address as written, and its canonical form."""
    email = _text(value).strip()
    return email, canonical_email(email)


def _full_name(value: Any) -> str:
    return _single_line(value, validators.validate_name, validators.NAME_MAX_LENGTH)


def _reason(value: Any) -> str:
    return _single_line(value, validators.validate_reason, validators.REASON_MAX_LENGTH)


def _single_line(value: Any, validate: Callable[[str], None], max_length: int) -> str:
    line = _text(value).strip()
    validate(line)
    if len(line) > max_length:
        raise ValueError("too long")
    return line


def _role(value: Any) -> str:
    name = _text(value)
    if len(name) > permissions.ROLE_NAME_LENGTH:
        raise ValueError("not a role")
    return name


def flag(value: Any) -> bool:
    """Returns a flag, which a CSV holds as text. Raises LookupError for any other value."""
    return value if isinstance(value, bool) else _FLAGS[str(value).strip().lower()]


def _locale(value: Any) -> str:
    if value not in _LANGUAGES:
        raise ValueError("not a supported language")
    return _text(value)


def _metadata(value: Any) -> dict[str, Any]:
    held = json.loads(value) if isinstance(value, str) else value
    metadata.validate(held)
    return dict(held)


def _moment(value: Any) -> datetime:
    moment = parse_datetime(_text(value))
    if moment is None:
        raise ValueError("not a time")
    if moment.tzinfo is UTC:
        return moment
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


_COLUMNS: dict[str, Callable[[Any], Any]] = {
    "id": lambda value: UUID(_text(value)),
    "email": _email,
    "full_name": _full_name,
    "role": _role,
    "is_active": flag,
    "email_verified": flag,
    "locale": _locale,
    "metadata": _metadata,
    **dict.fromkeys(_TIMES, _moment),
    "suspension_reason": _reason,
    "password_hash": lambda value: hashes.normalize(_text(value).strip()),
}
COLUMNS = frozenset(_COLUMNS)
_EXPECTED = {
    "id": "write a UUID",
    "email": f"write an email address of at most {ADDRESS_LENGTH} characters",
    "full_name": f"write one line of at most {validators.NAME_MAX_LENGTH} characters",
    "role": "write the name of a role",
    "is_active": "write true or false",
    "email_verified": "write true or false",
    "locale": f"write {' or '.join(_LANGUAGES)}",
    "metadata": "write a JSON object of at most 16 KiB",
    **dict.fromkeys(_TIMES, "write a time such as 2026-01-31T12:00:00Z"),
    "suspension_reason": f"write one line of at most {validators.REASON_MAX_LENGTH} characters",
    "password_hash": "write a password hash",
}
