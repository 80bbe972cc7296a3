"""Where a piece of work came from: the client's address and agent, and the id of its request."""

from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

USER_AGENT_LENGTH = 256
IPV6_PREFIX = 64  # what one customer is given, and can make addresses from at will


@dataclass(frozen=True)
class Origin:
    """Who asked; a command or a background task has neither address nor agent."""

    ip: str | None = None
    user_agent: str = ""
    request_id: str = ""


NOWHERE = Origin()
current: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


def from_request(request: HttpRequest, request_id: str) -> Origin:
    agent = request.headers.get("User-Agent", "")
    return Origin(client_ip(request), printable(agent)[:USER_AGENT_LENGTH], request_id)


def client_ip(request: HttpRequest) -> str | None:
    """The address of the client, believing as many X-Forwarded-For entries as there are trusted proxies."""
    hops = [request.META.get("REMOTE_ADDR") or ""]
    if settings.TRUSTED_PROXIES:
        forwarded = request.headers.get("X-Forwarded-For", "").split(",")
        hops = [hop.strip() for hop in forwarded if hop.strip()] + hops
    believed = hops[-1 - settings.TRUSTED_PROXIES :]
    return _without_port(believed[0])


def network(ip: str | None) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    if ip is None:
        return "unknown"
    address = ip_address(ip)
    if address.version == 4 or address.ipv4_mapped:
        return str(getattr(address, "ipv4_mapped", None) or address)
    return str(int(address) >> (128 - IPV6_PREFIX))


def printable(text: str) -> str:
    """The text without control characters, which would forge lines in a log or break a database."""
    return "".join(character for character in text if character.isprintable())


def _without_port(hop: str) -> str | None:
    """The address alone, without the port, the brackets and the zone that a proxy may write."""
    for text in (hop, hop.strip("[]"), hop.rpartition(":")[0].strip("[]")):
        with suppress(ValueError):
            return str(ip_address(text)).partition("%")[0]
    return None
