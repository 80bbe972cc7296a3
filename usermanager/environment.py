"""Reads environment variables into typed values, and ends the process with a line for each invalid variable."""

import re
import sys
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from email.errors import ObsoleteHeaderDefect
from email.headerregistry import Address
from email.policy import default as default_policy
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import urlsplit

from environs import EnvValidationError, FileAwareEnv, ValidationError

from accounts.email_addresses import canonical_email
from accounts.limits.rates import Rate
from usermanager import connection_urls
from usermanager.connection_urls import Secret, checked, split

T = TypeVar("T")
Parser = TypeVar("Parser", bound=Callable[..., Any])

USAGE_STATUS = 2
MAX_PERIOD = timedelta(days=36500)
_TRUE = {"1", "on", "true", "yes"}
_FALSE = {"0", "off", "false", "no"}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_HOST_NAME = r"[A-Za-z0-9_.-]+"
_PUBLIC_NAME = r"([a-z0-9_-]+\.)+(?!\d+$)[a-z0-9-]{2,}"
_PRIVATE_DOMAINS = (".local", ".localhost", ".internal")
_PASSKEY_APP = r"android:[A-Za-z0-9_.]+=([0-9A-F]{2}:){31}[0-9A-F]{2}|ios:[A-Z0-9]+\.[A-Za-z0-9.-]+"
_SENDER_ADDRESS = r"[!-?A-~]+@[^@\s]+"  # ASCII before the @: few mail servers accept anything else

_parsers: dict[str, Callable[..., Any]] = {}


class Environment(FileAwareEnv):
    """Reads the variables of the process and of a `.env` file; each may be given as NAME_FILE=/path instead.

    An empty variable counts as not set. A default is text, as an operator would write it; an empty default is returned
    as it is. For an invalid value a reader returns None: nothing may use a value before `stop_on_errors`.
    """

    # environs makes these methods of the parsers below.
    flag: Callable[[str, str], bool]
    number: Callable[..., int]
    choice: Callable[..., str]
    duration: Callable[..., timedelta]
    rate: Callable[[str, str], Rate]
    base64_secret: Callable[[str, bytes], bytes]
    encryption_keys: Callable[[str, list[Secret]], list[Secret]]
    base_url: Callable[..., str]
    cors_origins: Callable[[str, list[str]], list[str]]
    host_names: Callable[[str, list[str]], list[str]]
    passkey_apps: Callable[[str, list[str]], list[str]]
    networks: Callable[[str, str], list[str]]
    bind_address: Callable[[str, str], str]
    email_address: Callable[[str, str], str]
    sender: Callable[[str, str], str]
    ehlo_name: Callable[[str, str], str]
    database: Callable[..., dict[str, Any]]
    broker: Callable[[str, str], str]
    email_backend: Callable[[str, str], dict[str, Any]]

    def __init__(self) -> None:
        super().__init__(eager=False)
        for name, parser in _parsers.items():
            self.add_parser(name, parser)

    def _get_value(self, env_key: str, default: Any) -> Any:
        """Returns the text of a variable without the white space around it. environs calls this in each reader."""
        try:
            return super()._get_value(env_key, "").strip() or default
        except (OSError, ValueError):
            self._errors[f"{env_key}{self.file_suffix}"].append("the path of a text file that can be read")
            return default

    def stop_on_errors(self) -> None:
        """Ends the process if a variable is invalid. No variable can be read after this."""
        try:
            self.seal()
        except EnvValidationError as error:
            stop(cast("Mapping[str, list[str]]", error.error_messages))


def stop(errors: Mapping[str, list[str]]) -> NoReturn:
    """Ends the process with exit status 2, and a line on stderr for each variable that says what to write."""
    for name, [what_to_write] in sorted(errors.items()):
        print(f"{name} cannot be used: write {what_to_write}.", file=sys.stderr)
    raise SystemExit(USAGE_STATUS)


def make_or_stop(name: str, path: Path, make: Callable[[Path], T]) -> T:
    """Returns what `make` returns for the path of a variable; ends the process if the path is not writable."""
    try:
        return make(path)
    except OSError:
        stop({name: [f"the path of a directory that this user can write to ({path} is not one)"]})


def _reader(what_to_write: str) -> Callable[[Parser], Parser]:
    """Registers a parser as a method of Environment. Its ValueError becomes "NAME cannot be used: write …"; a parser
    that knows more raises a ValidationError with the text itself."""

    def register(parse: Parser) -> Parser:
        def read(text: Any, **options: Any) -> Any:
            try:
                return parse(text, **options) if text else text
            except ValueError as error:
                raise ValidationError(what_to_write.format(**options)) from error

        _parsers[parse.__name__] = read
        return parse

    return register


@_reader("true or false")
def flag(text: str) -> bool:
    return checked(text.lower() in _TRUE, text.lower() in _TRUE | _FALSE)


@_reader("a whole number from {least} to {most}")
def number(text: str, *, least: int, most: int) -> int:
    value = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else -1
    return checked(value, least <= value <= most)


@_reader("one of the choices")
def choice(text: str, *, choices: Collection[str]) -> str:
    if text.lower() not in choices:
        *others, last = choices
        raise ValidationError(f"{', '.join(others)} or {last}")
    return text.lower()


@_reader("a duration such as 90s, 15m, 12h or 30d")
def duration(text: str, *, least: timedelta = timedelta(seconds=1)) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    if not match:
        raise ValueError("not a duration")
    period = timedelta(**{_UNITS[match[2]]: int(match[1])})
    return checked(period, least <= period <= MAX_PERIOD)


@_reader("a count and a duration such as 5/5m, 5/1h or 20/1h")
def rate(text: str) -> Rate:
    match = re.fullmatch(r"([1-9]\d{0,6})/(\w+)", text, re.ASCII)
    if not match:
        raise ValueError("not a rate")
    return Rate(int(match[1]), duration(match[2]))


@_reader("the secret itself, in base64")
def base64_secret(text: str) -> bytes:
    return b64decode(text, validate=True)


@_reader("keys of 32 bytes in base64, separated by commas")
def encryption_keys(text: str) -> list[Secret]:
    parts = checked(_parts(text), bool(_parts(text)))
    return [Secret(checked(part, len(b64decode(part, validate=True)) == 32)) for part in parts]


@_reader("a URL such as https://id.example.com")
def base_url(text: str, *, may_have_path: bool = True) -> str:
    """Returns an HTTP URL without the slash at its end; scheme and host are in lower case, as browsers write them."""
    url = split(text, {"http", "https"})
    checked(url, bool(host_of(text)) and "@" not in url.netloc)
    if url.path.strip("/") and not may_have_path:
        raise ValidationError("it without a path: UserManager needs a host name of its own")
    return url._replace(netloc=url.netloc.lower()).geturl().rstrip("/")


@_reader("origins such as https://app.example.com, separated by commas")
def cors_origins(text: str) -> list[str]:
    return [_origin(part) for part in _parts(text)]


def _origin(text: str) -> str:
    url = split(text.rstrip("/"), {"http", "https"})
    is_origin = bool(url.hostname) and not url.path and "@" not in url.netloc
    return checked(f"{url.scheme}://{url.netloc.lower()}", is_origin)


@_reader("host names such as id.example.com, separated by commas")
def host_names(text: str) -> list[str]:
    pattern = rf"\*|{_HOST_NAME}|\[[0-9A-Fa-f:.]+\]"
    return [checked(part, bool(re.fullmatch(pattern, part))) for part in _parts(text)]


@_reader("apps such as android:com.example.app=AA:BB:… (SHA-256 of its certificate) or ios:TEAMID.com.example.app")
def passkey_apps(text: str) -> list[str]:
    """Accepts a fingerprint in lower case too. An Android app with several certificates is listed once for each."""
    return [checked(app, bool(re.fullmatch(_PASSKEY_APP, app))) for app in map(_with_upper_fingerprint, _parts(text))]


def _with_upper_fingerprint(app: str) -> str:
    name, equals, fingerprint = app.partition("=")
    return name + equals + fingerprint.upper()


@_reader("IP addresses or networks such as 127.0.0.1,10.0.0.0/8")
def networks(text: str) -> list[str]:
    return [str(ip_network(part, strict=False)) for part in _parts(text)]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@_reader("an IP address of this machine such as 127.0.0.1 or 0.0.0.0")
def bind_address(text: str) -> str:
    return text if text == "localhost" else str(ip_address(text.strip("[]")))


@_reader("an email address such as admin@example.com")
def email_address(text: str) -> str:
    return checked(text, bool(canonical_email(text)))


@_reader("one email address such as UserManager <no-reply@example.com>; a name with a comma needs quotation marks")
def sender(text: str) -> str:
    """Accepts an email address with or without a name before it."""
    return checked(text, text.isprintable() and bool(re.fullmatch(_SENDER_ADDRESS, name_and_address(text)[1])))


def name_and_address(text: str) -> tuple[str, str]:
    """Splits "Name <address>" or a bare address. Raises ValueError for several addresses and for a malformed one.

    Accepts defects that RFC 5322 calls obsolete, such as the dot of "Example Inc.": Django writes the header itself.
    """
    header = default_policy.header_factory("From", text)
    is_broken = any(not isinstance(defect, ObsoleteHeaderDefect) for defect in header.defects)
    addresses: tuple[Address, ...] = getattr(header, "addresses", ())
    if is_broken or len(addresses) != 1 or header.groups[0].display_name:
        raise ValueError("not one address")
    return addresses[0].display_name, addresses[0].addr_spec


@_reader("a host name such as id.example.com, or an IP address such as [192.0.2.1]")
def ehlo_name(text: str) -> str:
    """Accepts a host name, or an IP address in brackets (RFC 5321, section 4.1.3)."""
    if literal := re.fullmatch(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]", text):
        address = ip_address(literal[1])
        return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
    return checked(text, bool(re.fullmatch(_HOST_NAME, text)))


_reader("sqlite:////path/file.sqlite3 or postgres://user:password@host/name")(connection_urls.database)
_reader("amqp://user:password@host:5672//, or nothing for no broker")(connection_urls.broker)
_reader("smtp://user:password@host:port, smtp+tls://…, smtp+ssl://…, file:///dir or console://")(
    connection_urls.email_backend
)


def host_of(url: str) -> str:
    """Returns the host of a URL as a Host header names it. Raises ValueError for an invalid host name."""
    name = urlsplit(url).hostname or ""
    return f"[{name}]" if ":" in name else name.encode("idna").decode("ascii")


def passkey_domain(name: str, public_url: str) -> str:
    """Returns the RP ID of passkeys: the host of PUBLIC_URL or the given parent of it. Ends the process for another."""
    host = host_of(public_url)
    domain = name.lower() or host
    if not f".{host}".endswith(f".{domain}"):
        stop({"PASSKEY_RP_ID": [f"the host of PUBLIC_URL ({host}) or a parent domain of it"]})
    return domain


def public_name(url: str) -> str:
    """Returns the host of a URL if other machines can know this one by that name, else an empty string."""
    name = host_of(url)
    return name if re.fullmatch(_PUBLIC_NAME, name, re.ASCII) and not name.endswith(_PRIVATE_DOMAINS) else ""
