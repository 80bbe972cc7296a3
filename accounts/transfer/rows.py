"""One row of an import: what its columns may hold, and what a user is made of.

A row is a mapping of text, as in CSV, or of JSON values; its names are those of a user in the API and `password_hash`.
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

from accounts import metadata, names, roles
from accounts.addresses import ADDRESS_LENGTH, canonical_email
from accounts.errors import AccountError
from accounts.transfer import hashes

_TIMES = ("created_at", "last_login_at", "suspended_until", "invited_at", "invitation_ended_at")
_FLAGS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}

Row = Mapping[str, Any]


# A user is imported without these if they cannot be stored; a later import with corrected values can still add them.
# The others decide who the user is and what they may do, or cannot be updated.
OMISSIBLE = frozenset({"full_name", "locale", "metadata", "suspension_reason", "password_hash"})


class Rejected(ValueError):
    """A row that cannot be taken; the message says why, without quoting what it holds."""


@dataclass(frozen=True)
class Unreadable:
    """The value of a column of which a reader could make nothing."""

    reason: str


class Parsed(NamedTuple):
    """The fields of a user, and why some of the row's columns are not among them."""

    fields: dict[str, Any]
    warnings: tuple[str, ...]


def parse(row: Row, *, is_strict: bool = False) -> Parsed:
    """The fields of a user that the row names, with `email_key`; what is empty counts as not named.

    Leaves out what is OMISSIBLE and cannot be stored, unless it is strict. Raises Rejected.
    """
    if not row.get("email"):
        raise Rejected("email: there is none")
    fields: dict[str, Any] = {}
    warnings = []
    for name in _COLUMNS:
        if row.get(name) in (None, ""):
            continue
        try:
            fields[name] = _field(name, row[name])
        except Rejected as reason:
            if is_strict or name not in OMISSIBLE:
                raise
            warnings.append(f"{reason}; imported without it")
    fields["email"], fields["email_key"] = fields["email"]
    for name in {"suspended_until", "suspension_reason"} & fields.keys():
        if fields.get("is_active", True):
            raise Rejected(f"{name}: write false as is_active with it")
    if "password_hash" in fields:
        fields["password"] = fields.pop("password_hash")
    return Parsed(fields, tuple(warnings))


def _field(name: str, value: Any) -> Any:
    if isinstance(value, Unreadable):
        raise Rejected(f"{name}: {value.reason}")
    try:
        return _COLUMNS[name](value)
    except hashes.UnknownHash as fault:
        raise Rejected(f"{name}: {fault}") from None
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, ValidationError, AccountError):
        raise Rejected(f"{name}: {_EXPECTED[name]}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _email(value: Any) -> tuple[str, str]:
    """The address as written and in its canonical form."""
    email = _text(value).strip()
    return email, canonical_email(email)


def _full_name(value: Any) -> str:
    return _words(value, names.validate, names.MAX_LENGTH)


def _reason(value: Any) -> str:
    return _words(value, names.validate_reason, names.REASON_LENGTH)


def _words(value: Any, validate: Callable[[str], None], longest: int) -> str:
    words = _text(value).strip()
    validate(words)
    if len(words) > longest:
        raise ValueError("too long")
    return words


def _role(value: Any) -> str:
    name = _text(value)
    if len(name) > roles.NAME_LENGTH:
        raise ValueError("not a role")
    return name


def flag(value: Any) -> bool:
    """True or false, or one of their usual names in text. Raises LookupError for anything else."""
    return value if isinstance(value, bool) else _FLAGS[str(value).strip().lower()]


def _locale(value: Any) -> str:
    if value not in dict(settings.LANGUAGES):
        raise ValueError("not a language of ours")
    return _text(value)


def _metadata(value: Any) -> dict[str, Any]:
    held = json.loads(value) if isinstance(value, str) else value
    metadata.check(held)
    return dict(held)


def _moment(value: Any) -> datetime:
    moment = parse_datetime(_text(value))
    if moment is None:
        raise ValueError("not a time")
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
    "password_hash": lambda value: hashes.encoded(_text(value).strip()),
}
COLUMNS = frozenset(_COLUMNS)
_EXPECTED = {
    "id": "write a UUID",
    "email": f"write a mail address of at most {ADDRESS_LENGTH} characters",
    "full_name": f"write one line of at most {names.MAX_LENGTH} characters",
    "role": "write the name of a role",
    "is_active": "write true or false",
    "email_verified": "write true or false",
    "locale": "write en or es",
    "metadata": "write a JSON object of at most 16 KiB",
    **dict.fromkeys(_TIMES, "write a time such as 2026-01-31T12:00:00Z"),
    "suspension_reason": f"write one line of at most {names.REASON_LENGTH} characters",
    "password_hash": "write a password hash",
}
