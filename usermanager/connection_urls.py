"""Parses the URLs that settings are given as. Every part of a URL either has an effect or is an error.

Otherwise a misspelt parameter (`?sslmod=require`) or one of another product (`?tls=True`) would have no effect, and a
password would go over the network unencrypted.

The text of a ValidationError says what to write instead, and shows no value of the URL: it may be a password.
"""

import re
from collections.abc import Collection
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import dj_database_url
from environs import ValidationError

T = TypeVar("T")

BROKER_PARAMETERS = ("heartbeat", "login_method")
_NAMED_BEFORE = {"user": "username", "password": "password", "host": "hostname", "port": "port"}
_SCHEMES = {"tls": "smtp+tls://", "starttls": "smtp+tls://", "ssl": "smtp+ssl://"}
_PARAMETER = re.compile(r"[\w.-]{1,40}", re.ASCII)
_EMAIL_BACKENDS = {
    "smtp": "django.core.mail.backends.smtp",
    "console": "django.core.mail.backends.console",
    "file": "notifications.sending.mail_folder",
}


class Secret(str):
    """A string that `repr` hides. Otherwise `diffsettings`, `celery report`, Django's error page and tracebacks with
    values print it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


def checked(value: T, is_valid: bool) -> T:
    if not is_valid:
        raise ValueError("invalid")
    return value


def split(value: str, schemes: Collection[str], known: Collection[str] = ()) -> SplitResult:
    """Splits a URL. Raises ValueError for another scheme, white space or an invalid port, and ValidationError for a
    fragment or a query parameter that is not among `known`."""
    url = urlsplit(value)
    checked(url, url.scheme in schemes and not re.search(r"\s", value) and url.port != 0)
    if "@" in url.query + url.fragment:  # the end of a password, which must not be printed
        raise ValidationError("? and # in a user's name or a password as %3F and %23")
    if "#" in value:
        raise ValidationError("it without # and what follows it; inside a name or a password, # is %23")
    names = [name for name, _value in parse_qsl(url.query, keep_blank_values=True)]
    for name in names:
        if name not in known:
            raise ValidationError(_without(name, known))
        if names.count(name) > 1 or getattr(url, _NAMED_BEFORE.get(name, ""), None):
            raise ValidationError(f'"{name}" only once')
    return checked(url, "?" not in value or bool(names))


def database(value: str, folder: Path) -> dict[str, Any]:
    """Returns an entry of Django's DATABASES. A relative path of SQLite starts in `folder`."""
    is_sqlite = value.startswith("sqlite:")
    known = () if is_sqlite else set(_libpq_parameters()) - {"dbname", "replication"} | {"currentSchema", "pgbouncer"}
    url = split(value, {"sqlite", "postgres", "postgresql"}, known)
    parsed: dict[str, Any] = dict(dj_database_url.parse(value))
    name = checked(str(parsed["NAME"] or ""), bool(url.path.strip("/")) or url.netloc == ":memory:")
    if is_sqlite and name != ":memory:":
        parsed["NAME"] = str(folder / checked(name, not url.netloc))
    options = {name: _hidden(name, value) for name, value in parsed.get("OPTIONS", {}).items() if name != "pgbouncer"}
    private = {"OPTIONS": options, "PASSWORD": Secret(parsed.get("PASSWORD", ""))}
    return {**parsed, **private, "DISABLE_SERVER_SIDE_CURSORS": _has_pgbouncer(url)}


def _has_pgbouncer(url: SplitResult) -> bool:
    """Says whether cursors end with their transaction. Django prepares no statements by default, so that is enough."""
    value = _query(url).get("pgbouncer", "false")
    if value not in ("true", "false"):
        raise ValidationError("pgbouncer=true or pgbouncer=false")
    return value == "true"


def broker(value: str) -> str:
    url = split(value, {"amqp", "amqps"}, BROKER_PARAMETERS)
    if not re.fullmatch(r"\d{1,4}", _query(url).get("heartbeat", "0"), re.ASCII):
        raise ValidationError("heartbeat as a whole number of seconds")
    return checked(Secret(value), bool(url.hostname))


def email_backend(value: str) -> dict[str, Any]:
    """Returns Django's EMAIL_* settings."""
    url = split(value, {"smtp", "smtp+tls", "smtp+ssl", "file", "console"})
    backend = url.scheme.partition("+")[0]
    settings: dict[str, Any] = {"EMAIL_BACKEND": f"{_EMAIL_BACKENDS[backend]}.EmailBackend"}
    if url.scheme == "file":
        settings["EMAIL_FILE_PATH"] = checked(unquote(url.path), url.path.startswith("/") and not url.netloc)
    if url.scheme == "console":
        checked(url, not url.netloc and url.path in {"", "/"})
    if backend == "smtp":
        settings |= _smtp(url)
    return settings


def _smtp(url: SplitResult) -> dict[str, Any]:
    """Returns the settings of an SMTP server. Django uses a user or a password only when it has both."""
    checked(url, bool(url.hostname) and url.path in {"", "/"})
    if bool(url.username) != bool(url.password) or url.netloc.startswith("@"):
        raise ValidationError("both a user and a password, as in smtp+tls://user:password@host, or neither")
    return {
        "EMAIL_HOST": url.hostname,
        "EMAIL_PORT": url.port or {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}[url.scheme],
        "EMAIL_HOST_USER": unquote(url.username or ""),
        "EMAIL_HOST_PASSWORD": Secret(unquote(url.password or "")),
        "EMAIL_USE_TLS": url.scheme == "smtp+tls",
        "EMAIL_USE_SSL": url.scheme == "smtp+ssl",
    }


def _query(url: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(url.query, keep_blank_values=True))


def _hidden(name: str, value: Any) -> Any:
    """Wraps a password. libpq marks the parameters that hold one with a star."""
    parameter = _libpq_parameters().get(name)
    return Secret(value) if parameter and parameter.dispchar == b"*" else value


@cache
def _libpq_parameters() -> dict[str, Any]:
    from psycopg import pq  # noqa: PLC0415 - takes a tenth of the start of a command, and SQLite does not need it

    return {option.keyword.decode(): option for option in pq.Conninfo.get_defaults()}


def _without(name: str, known: Collection[str]) -> str:
    shown = f'the query parameter "{name}"' if _PARAMETER.fullmatch(name) else "what follows ?"
    meant = next(iter(get_close_matches(name, known, 1)), "" if known else _SCHEMES.get(name, ""))
    return f"it without {shown}, which is unknown" + (f" (did you mean {meant}?)" if meant else "")
