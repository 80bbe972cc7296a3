"""How commands read what somebody at the machine types: addresses, names, passwords, and whom they mean."""

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

from accounts import names
from accounts.addresses import canonical_email
from accounts.filters import FlagFilter, TimeFilter
from accounts.models import Role, User

T = TypeVar("T", bound=Model)

USAGE_STATUS = 2
WHO = "EMAIL-or-ID"


def address(text: str) -> str:
    try:
        canonical_email(text)
    except ValueError as fault:
        raise ArgumentTypeError(f"{text!r} is no mail address") from fault
    return text


def full_name(text: str) -> str:
    return _line(text, names.MAX_LENGTH)


def reason(text: str) -> str:
    return _line(text, names.REASON_LENGTH)


def moment(text: str) -> datetime:
    """A time as ISO 8601 writes it, in UTC unless it says otherwise."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as fault:
        raise ArgumentTypeError(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T12:00Z") from fault


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def add_password(parser: ArgumentParser) -> None:
    parser.add_argument("--password-stdin", action="store_true", help="read the password from the first line of stdin")


def add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")


def add_filters(parser: ArgumentParser, filters: type[FilterSet]) -> None:
    """An option for each filter of the API, with the same name and meaning."""
    for name, one in filters.base_filters.items():
        metavar = {FlagFilter: "true|false", TimeFilter: "TIME"}.get(type(one), "TEXT")
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=one.extra["help_text"])


def filtered(filters: type[FilterSet], options: dict[str, Any], rows: "QuerySet[T]") -> "QuerySet[T]":
    """The rows that the options of add_filters() leave. Raises CommandError."""
    found = filters({name: options[name] for name in filters.base_filters}, rows)
    if not found.is_valid():
        faults = " ".join(f"{name}: {' '.join(faults)}" for name, faults in found.errors.items())
        raise CommandError(faults, returncode=USAGE_STATUS)
    return found.qs


def user(text: str) -> User:
    """Whom an address or an id means. Raises CommandError."""
    found = User.objects.with_address(text)
    if found is None and (user_id := _uuid(text)):
        found = User.objects.select_related("role").filter(pk=user_id).first()
    if found is None:
        raise CommandError(f"There is no user {text}.")
    return found


def role(name: str) -> Role:
    """Raises CommandError, which names the roles there are."""
    roles = {role.name: role for role in Role.objects.order_by("name")}
    if name not in roles:
        raise CommandError(f"There is no role {name}. There are: {', '.join(roles)}.")
    return roles[name]


def password_from_stdin() -> str:
    """The first line, to the letter. Raises CommandError."""
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        password = line.decode()
    except UnicodeDecodeError as fault:
        raise CommandError("The password on stdin is not UTF-8.", returncode=USAGE_STATUS) from fault
    if not password or "\0" in password:
        raise CommandError("Write the password on the first line of stdin.", returncode=USAGE_STATUS)
    return password


def asked_password() -> str:
    """A password that was typed twice. Raises CommandError."""
    require_terminal("--password-stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password again: ") != password:
        raise CommandError("The two passwords differ.")
    return password


def is_confirmed(question: str) -> bool:
    """Whether somebody answers yes. Raises CommandError."""
    require_terminal("--yes")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def require_terminal(instead: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError(f"There is no terminal to ask at: add {instead}.", returncode=USAGE_STATUS)


def _line(text: str, length: int) -> str:
    line = text.strip()
    try:
        names.validate(line)
    except ValidationError as fault:
        raise ArgumentTypeError("write one line without control characters") from fault
    if len(line) > length:
        raise ArgumentTypeError(f"write at most {length} characters")
    return line


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
