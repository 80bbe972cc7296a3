"""Reads the environment into typed values, and stops the start with a line for each value that cannot be used."""

import base64
import ipaddress
import os
import re
import secrets
import sys
from collections.abc import Callable, Collection
from datetime import timedelta
from email.errors import ObsoleteHeaderDefect
from email.headerregistry import Address
from email.policy import default as default_policy
from pathlib import Path
from tempfile import mkstemp
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from environs import FileAwareEnv

from accounts.addresses import canonical_email
from usermanager import connection_urls
from usermanager.connection_urls import Secret, UnusablePart, checked, split

T = TypeVar("T")

_TRUE = {"1", "on", "true", "yes"}
_FALSE = {"0", "off", "false", "no"}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_RATE = re.compile(r"([1-9]\d{0,6})/(\w+)", re.ASCII)
_SENDER = re.compile(r"[!-?A-~]+@[^@\s]+")  # ASCII before the @: few mail servers take anything else
_HOST = re.compile(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]")
_PUBLIC_NAME = re.compile(r"([a-z0-9_-]+\.)+(?!\d+$)[a-z0-9-]{2,}", re.ASCII)
_ADDRESS_LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]")
_LONGEST = timedelta(days=36500)

USAGE_STATUS = 2


class Rate(NamedTuple):
    """So many times in any such period."""

    limit: int
    period: timedelta


class Environment(FileAwareEnv):
    """The variables of the process and of a `.env` file; each may be given as NAME_FILE=/path instead.

    An empty variable counts as one that is not set. Every reader returns its default for a value that cannot be
    used and notes the fault, so that `stop_on_faults` can name all of them at once.
    """

    def __init__(self) -> None:
        super().__init__(strip_whitespace=True)
        self.faults: dict[str, str] = {}

    def read(self, name: str, default: T, parse: Callable[[str], T], what_to_write: str) -> T:
        """What `parse` makes of the variable; its ValueError is noted as "NAME: write <what_to_write>"."""
        try:
            value = self.text(name)
        except (OSError, ValueError):
            self.faults[f"{name}_FILE"] = "write the path of a text file that can be read"
            return default
        try:
            return parse(value) if value else default
        except UnusablePart as fault:
            self.faults[name] = f"write {fault}"
            return default
        except ValueError:
            self.faults[name] = f"write {what_to_write}"
            return default

    def text(self, name: str) -> str:
        """The variable without the white space around it, or nothing. Raises OSError or ValueError for its file."""
        return str(self.str(name, default="") or "").strip()

    def secret(self, name: str, default: str = "") -> str:
        return self.read(name, Secret(default), Secret, "the secret itself")

    def flag(self, name: str, default: bool) -> bool:
        return self.read(name, default, _flag, "true or false")

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        def parse(value: str) -> int:
            number = int(value) if re.fullmatch(r"\d{1,9}", value, re.ASCII) else -1
            return checked(number, least <= number <= most)

        return self.read(name, default, parse, f"a whole number from {least} to {most}")

    def choice(self, name: str, default: str, choices: Collection[str]) -> str:
        def parse(value: str) -> str:
            return checked(value.lower(), value.lower() in choices)

        return self.read(name, default, parse, " or ".join(choices))

    def duration(self, name: str, default: str, *, least: timedelta = timedelta(seconds=1)) -> timedelta:
        def parse(value: str) -> timedelta:
            period = duration(value)
            return checked(period, least <= period <= _LONGEST)

        return self.read(name, duration(default), parse, "a duration such as 90s, 15m, 12h or 30d")

    def rate(self, name: str, default: str) -> Rate:
        return self.read(name, rate(default), rate, f"a count and a duration such as {default}")

    def base_url(self, name: str, default: str, *, has_path: bool = True) -> str:
        """An http or https address without the slash at its end, to which paths are added; scheme and host in lower
        case, as browsers write them. `has_path`: whether it may have a path of its own."""

        def parse(value: str) -> str:
            url = split(value, {"http", "https"})
            checked(url, bool(host_of(value)) and "@" not in url.netloc)
            if url.path.strip("/") and not has_path:
                raise UnusablePart("it without a path: UserManager has to have a host name of its own")
            return url._replace(netloc=url.netloc.lower()).geturl().rstrip("/")

        return self.read(name, default, parse, "an address such as https://id.example.com")

    def origins(self, name: str) -> list[str]:
        return self.read(name, [], _each(_origin), "origins such as https://app.example.com, with commas between them")

    def hosts(self, name: str, default: list[str]) -> list[str]:
        return self.read(name, default, _each(_host), "host names such as id.example.com, with commas between them")

    def networks(self, name: str, default: str) -> list[str]:
        hint = "addresses or networks such as 127.0.0.1,10.0.0.0/8"
        return self.read(name, _each(_network)(default), _each(_network), hint)

    def bind_address(self, name: str, default: str) -> str:
        def parse(value: str) -> str:
            return value if value == "localhost" else str(ipaddress.ip_address(value.strip("[]")))

        return self.read(name, default, parse, "an address of this machine such as 127.0.0.1 or 0.0.0.0")

    def address(self, name: str, default: str) -> str:
        """A bare mail address."""
        return self.read(name, default, _address, "a mail address such as admin@example.com")

    def sender(self, name: str, default: str) -> str:
        """A mail address with or without a name before it."""
        hint = (
            "one mail address such as UserManager <no-reply@example.com>; a name with a comma goes in quotation marks"
        )
        return self.read(name, default, _sender, hint)

    def ehlo_name(self, name: str, url: str) -> str:
        """A host name, or an IP address in brackets (RFC 5321, section 4.1.3). Default: the host of `url`, if it is a
        name that others may know."""
        hint = "a host name such as id.example.com, or an IP address such as [192.0.2.1]"
        return self.read(name, _public_name(url), _ehlo_name, hint)

    def database(self, name: str, default: Path) -> dict[str, Any]:
        """What Django's DATABASES wants; a relative path of SQLite starts in the folder of the default."""

        def parse(value: str) -> dict[str, Any]:
            return connection_urls.database(value, default.parent)

        standard = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(default), "OPTIONS": {}}
        return self.read(name, standard, parse, "sqlite:////path/file.sqlite3 or postgres://user:password@host/name")

    def broker(self, name: str) -> str:
        hint = "amqp://user:password@host:5672//, or nothing for no broker"
        return self.read(name, "", connection_urls.broker, hint)

    def mail(self, name: str, default: Path) -> dict[str, Any]:
        """Django's EMAIL_* settings; without the variable mails become files in the folder `default`."""
        hint = "smtp://user:password@host:port, smtp+tls://…, smtp+ssl://…, file:///dir or console://"
        return self.read(name, connection_urls.mail(default.as_uri()), connection_urls.mail, hint)

    def made(self, name: str, path: Path, make: Callable[[Path], T]) -> T:
        """What `make` finds or makes at the path; a path that cannot be written to ends the process."""
        try:
            return make(path)
        except OSError:
            self.faults[name] = f"write a folder in which this user may write, unlike {path}"
            self.stop_on_faults()
            raise

    def stop_on_faults(self) -> None:
        """Ends the process with exit status 2 and a line on stderr for each variable that cannot be used."""
        for name, hint in sorted(self.faults.items()):
            print(f"{name} cannot be used: {hint}.", file=sys.stderr)
        if self.faults:
            raise SystemExit(USAGE_STATUS)


def duration(text: str) -> timedelta:
    """The time that `90s`, `15m`, `12h` or `30d` stands for. Raises ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError("not a duration")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def rate(text: str) -> Rate:
    """What `5/5m` stands for. Raises ValueError for anything else."""
    match = _RATE.fullmatch(text)
    if not match:
        raise ValueError("not a rate")
    period = duration(match[2])
    return Rate(int(match[1]), checked(period, timedelta() < period <= _LONGEST))


def _public_name(url: str) -> str:
    """The host of a URL if it is a name by which others may know this machine, else nothing."""
    name = host_of(url)
    return name if _PUBLIC_NAME.fullmatch(name) and not name.endswith((".local", ".localhost", ".internal")) else ""


def host_of(url: str) -> str:
    """The host of a URL as a Host header names it. Raises ValueError for a name that no host can have."""
    name = urlsplit(url).hostname or ""
    return f"[{name}]" if ":" in name else name.encode("idna").decode("ascii")


def private_folder(path: Path) -> Path:
    """Makes the folder for nobody else's eyes, if it is not there; one that stands keeps its mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def in_base64(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


def secret_made_once(path: Path) -> str:
    """The secret in this file, which the first process to come makes for all."""
    if not path.exists():
        handle, draft = mkstemp(dir=path.parent, prefix=f".{path.name}-")  # for the owner only: mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(64))
            file.flush()
            os.fsync(handle)
        try:
            os.link(draft, path)  # unlike a rename it never replaces what another process has just made
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
    return Secret(path.read_text().strip())


def _flag(value: str) -> bool:
    return checked(value.lower() in _TRUE, value.lower() in _TRUE | _FALSE)


def _each(parse: Callable[[str], str]) -> Callable[[str], list[str]]:
    def parse_all(value: str) -> list[str]:
        return [parse(part.strip()) for part in value.split(",") if part.strip()]

    return parse_all


def _origin(value: str) -> str:
    url = split(value.rstrip("/"), {"http", "https"})
    return checked(
        f"{url.scheme}://{url.netloc.lower()}", bool(url.hostname) and not url.path and "@" not in url.netloc
    )


def _host(value: str) -> str:
    return checked(value, value == "*" or bool(_HOST.fullmatch(value)))


def _ehlo_name(value: str) -> str:
    if literal := _ADDRESS_LITERAL.fullmatch(value):
        address = ipaddress.ip_address(literal[1])
        return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
    return checked(value, bool(re.fullmatch(r"[A-Za-z0-9_.-]+", value)))


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value, strict=False))


def _address(value: str) -> str:
    return checked(value, bool(canonical_email(value)))


def sender_of(value: str) -> tuple[str, str]:
    """Name and address of "Name <address>" or of a bare address. Raises ValueError for several and for a broken one.

    Defects that RFC 5322 calls obsolete, such as the dot of "Example Inc.", are no harm: the header is written anew.
    """
    header = default_policy.header_factory("From", value)
    is_broken = any(not isinstance(defect, ObsoleteHeaderDefect) for defect in header.defects)
    addresses: tuple[Address, ...] = getattr(header, "addresses", ())
    if is_broken or len(addresses) != 1 or header.groups[0].display_name:
        raise ValueError("not one address")
    return addresses[0].display_name, addresses[0].addr_spec


def _sender(value: str) -> str:
    _name, address = sender_of(value)
    return checked(value, value.isprintable() and bool(_SENDER.fullmatch(address)))
