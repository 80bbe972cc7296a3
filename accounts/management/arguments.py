"""Reads what an operator types: addresses, names, times, passwords, and the user or role that an argument names."""

import getpass
import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Model, QuerySet
from django_filters.rest_framework import FilterSet

from accounts import validators
from accounts.email_addresses import canonical_email
from accounts.listing.filters import FlagFilter, TimeFilter
from accounts.models import Role, User

T = TypeVar("T", bound=Model)

USAGE_STATUS = 2
EMAIL_OR_ID = "EMAIL-or-ID"


def address(text: str) -> str:
    try:
        canonical_email(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not an email address") from error
    return text


def full_name(text: str) -> str:
    return _single_line(text, validators.NAME_MAX_LENGTH)


def reason(text: str) -> str:
    return _single_line(text, validators.REASON_MAX_LENGTH)


def time(text: str) -> datetime:
    """Parses an ISO 8601 time, in UTC unless it has an offset."""
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T12:00Z") from error


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def add_password(parser: ArgumentParser) -> None:
    parser.add_argument("--password-stdin", action="store_true", help="read the password from the first line of stdin")


def add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")


def add_filters(parser: ArgumentParser, filters: type[FilterSet]) -> None:
    """Adds an option for each filter of the API, with the same name and meaning."""
    for name, one in filters.base_filters.items():
        metavar = {FlagFilter: "true|false", TimeFilter: "TIME"}.get(type(one), "TEXT")
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=one.extra["help_text"])


def apply_filters(filters: type[FilterSet], options: dict[str, Any], rows: "QuerySet[T]") -> "QuerySet[T]":
    """Returns the rows that match the options of add_filters(). Raises CommandError."""
    found = filters({name: options[name] for name in filters.base_filters}, rows)
    if not found.is_valid():
        message = " ".join(f"{name}: {' '.join(errors)}" for name, errors in found.errors.items())
        raise CommandError(message, returncode=USAGE_STATUS)
    return found.qs


def find_user(text: str) -> User:
    """Returns the user with this address or id. Raises CommandError."""
    found = User.objects.find_by_email(text)
    if found is None and (user_id := _uuid(text)):
        found = User.objects.select_related("role").filter(pk=user_id).first()
    if found is None:
        raise CommandError(f"There is no user {text}.")
    return found


def find_role(name: str) -> Role:
    """Returns the role. Raises CommandError, which lists the existing roles."""
    roles = {role.name: role for role in Role.objects.order_by("name")}
    if name not in roles:
        raise CommandError(f"There is no role {name}. The roles are: {', '.join(roles)}.")
    return roles[name]


def read_password_from_stdin() -> str:
    """Returns the first line without its line break; spaces belong to the password. Raises CommandError."""
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        password = line.decode()
    except UnicodeDecodeError as error:
        raise CommandError("The password on stdin is not UTF-8.", returncode=USAGE_STATUS) from error
    if not password or "\0" in password:
        raise CommandError("Write the password on the first line of stdin.", returncode=USAGE_STATUS)
    return password


def prompt_for_password() -> str:
    """Asks for a password twice. Raises CommandError if the two differ."""
    require_terminal("--password-stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password again: ") != password:
        raise CommandError("The two passwords differ.")
    return password


def ask_for_confirmation(question: str) -> bool:
    """Returns whether the operator answers yes. Raises CommandError without a terminal."""
    require_terminal("--yes")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def require_terminal(alternative: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError(f"There is no terminal to prompt at: add {alternative}.", returncode=USAGE_STATUS)


def _single_line(text: str, length: int) -> str:
    line = text.strip()
    try:
        validators.validate_name(line)
    except ValidationError as error:
        raise ArgumentTypeError("write one line without control characters") from error
    if len(line) > length:
        raise ArgumentTypeError(f"write at most {length} characters")
    return line


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
