"""Parses the URLs that settings are given as. Every part of a URL is either used or refused.

Without that, a misspelt key (`?sslmod=require`) or one of another product (`?tls=True`) is ignored, and a password goes
over the network in clear.
"""

import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import dj_database_url
from psycopg import pq

T = TypeVar("T")

LIBPQ_KEYS = {option.keyword.decode(): option for option in pq.Conninfo.get_defaults()}
POSTGRES_KEYS = set(LIBPQ_KEYS) - {"dbname", "replication"} | {"currentSchema", "pgbouncer"}
BROKER_KEYS = ("heartbeat", "login_method")
_NAMED_BEFORE = {"user": "username", "password": "password", "host": "hostname", "port": "port"}
_SCHEMES = {"tls": "smtp+tls://", "starttls": "smtp+tls://", "ssl": "smtp+ssl://"}
_KEY = re.compile(r"[\w.-]{1,40}", re.ASCII)
_MAIL_BACKENDS = {
    "smtp": "django.core.mail.backends.smtp",
    "console": "django.core.mail.backends.console",
    "file": "notifications.mail_folder",
}


class Secret(str):
    """A string that no `repr` shows. Without that, `diffsettings`, `celery report`, Django's page for errors and any
    traceback with values print it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


class UnusablePart(ValueError):
    """A URL has a part that would have no effect; the text says what to write, without any value of the URL."""


def checked(value: T, is_good: bool) -> T:
    if not is_good:
        raise ValueError("out of range")
    return value


def split(value: str, schemes: Collection[str], known_keys: Collection[str] = ()) -> SplitResult:
    """The parts of a URL. Raises ValueError for another scheme, white space or an invalid port, and UnusablePart for a
    fragment or a query key that is not among `known_keys`."""
    url = urlsplit(value)
    checked(url, url.scheme in schemes and not re.search(r"\s", value) and url.port != 0)
    if "@" in url.query + url.fragment:  # of a password: it must not be printed
        raise UnusablePart("? and # in a user's name or a password as %3F and %23")
    if "#" in value:
        raise UnusablePart("it without # and what follows; where it belongs to a name or a password, # is %23")
    keys = [key for key, _value in parse_qsl(url.query, keep_blank_values=True)]
    for key in keys:
        if key not in known_keys:
            raise UnusablePart(_without(key, known_keys))
        if keys.count(key) > 1 or getattr(url, _NAMED_BEFORE.get(key, ""), None):
            raise UnusablePart(f'"{key}" only once')
    return checked(url, "?" not in value or bool(keys))


def database(value: str, folder: Path) -> dict[str, Any]:
    """What Django's DATABASES wants; a relative path of SQLite starts in `folder`. Raises ValueError."""
    is_sqlite = value.startswith("sqlite:")
    url = split(value, {"sqlite", "postgres", "postgresql"}, () if is_sqlite else POSTGRES_KEYS)
    parsed: dict[str, Any] = dict(dj_database_url.parse(value))
    name = checked(str(parsed["NAME"] or ""), bool(url.path.strip("/")) or url.netloc == ":memory:")
    if is_sqlite and name != ":memory:":
        parsed["NAME"] = str(folder / checked(name, not url.netloc))
    options = {key: _hidden(key, value) for key, value in parsed.get("OPTIONS", {}).items() if key != "pgbouncer"}
    private = {"OPTIONS": options, "PASSWORD": Secret(parsed.get("PASSWORD", ""))}
    return {**parsed, **private, "DISABLE_SERVER_SIDE_CURSORS": _has_pgbouncer(url)}


def _has_pgbouncer(url: SplitResult) -> bool:
    """Whether a cursor may not outlive a transaction; statements are never prepared, which is Django's default."""
    value = _query(url).get("pgbouncer", "false")
    if value not in ("true", "false"):
        raise UnusablePart("pgbouncer=true or pgbouncer=false")
    return value == "true"


def broker(value: str) -> str:
    url = split(value, {"amqp", "amqps"}, BROKER_KEYS)
    if not re.fullmatch(r"\d{1,4}", _query(url).get("heartbeat", "0"), re.ASCII):
        raise UnusablePart("heartbeat as a whole number of seconds")
    return checked(Secret(value), bool(url.hostname))


def mail(value: str) -> dict[str, Any]:
    """Django's EMAIL_* settings. Raises ValueError."""
    url = split(value, {"smtp", "smtp+tls", "smtp+ssl", "file", "console"})
    backend = url.scheme.partition("+")[0]
    settings: dict[str, Any] = {"EMAIL_BACKEND": f"{_MAIL_BACKENDS[backend]}.EmailBackend"}
    if url.scheme == "file":
        settings["EMAIL_FILE_PATH"] = checked(unquote(url.path), url.path.startswith("/") and not url.netloc)
    if url.scheme == "console":
        checked(url, not url.netloc and url.path in {"", "/"})
    if backend == "smtp":
        settings |= _smtp(url)
    return settings


def _smtp(url: SplitResult) -> dict[str, Any]:
    """Django logs in only when there are both a user and a password: one alone would have no effect."""
    checked(url, bool(url.hostname) and url.path in {"", "/"})
    if bool(url.username) != bool(url.password) or url.netloc.startswith("@"):
        raise UnusablePart("a user and a password, smtp+tls://user:password@host, or neither of them")
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


def _hidden(key: str, value: Any) -> Any:
    """libpq marks with a star the parameters that hold a password."""
    return Secret(value) if key in LIBPQ_KEYS and LIBPQ_KEYS[key].dispchar == b"*" else value


def _without(key: str, known_keys: Collection[str]) -> str:
    shown = f'the query key "{key}"' if _KEY.fullmatch(key) else "what follows ?"
    meant = next(iter(get_close_matches(key, known_keys, 1)), "" if known_keys else _SCHEMES.get(key, ""))
    return f"it without {shown}, which is unknown" + (f" (do you mean {meant}?)" if meant else "")
