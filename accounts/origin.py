"""Where a piece of work came from: the client's address and agent, and the id of its request."""

from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

USER_AGENT_LENGTH = 256
IPV6_PREFIX = 64  # what one customer is given, and can make addresses from at will
# A site may be given a /56, and /48 and /24 are the smallest networks that the internet routes, so one organization may
# have a whole one.
WIDER_PREFIXES = {4: (32, 24), 6: (56, 48)}
Networks = tuple[int, int, int]


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
    return believed_ip(request.META.get("REMOTE_ADDR") or "", request.headers.get("X-Forwarded-For", ""))


def believed_ip(peer: str, forwarded: str) -> str | None:
    """The client's address, given the connection's peer and the X-Forwarded-For header."""
    hops = [peer]
    if settings.TRUSTED_PROXIES:
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()] + hops
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


def networks(come: Origin) -> Networks | None:
    """The networks that a client is in, the smallest first: an IPv6 /64, /56 and /48, or an IPv4 address, the address
    once more and its /24. Each is a number that only tells which are the same. None for a command."""
    if come == NOWHERE:
        return None
    if come.ip is None:
        return _digest("unknown"), _digest("unknown"), _digest("unknown")
    address = ip_address(come.ip)
    address = getattr(address, "ipv4_mapped", None) or address
    middle, wide = (int(address) >> (address.max_prefixlen - bits) for bits in WIDER_PREFIXES[address.version])
    return _digest(network(come.ip)), _digest(f"{address.version} {middle}"), _digest(f"{address.version} {wide}")


def printable(text: str) -> str:
    """The text without control characters, which would forge lines in a log or break a database."""
    return "".join(character for character in text if character.isprintable())


def _digest(network: str) -> int:
    """Never 0, which stands for no network."""
    key = str(settings.SECRET_KEY).encode()[:64]
    return int.from_bytes(blake2b(network.encode(), digest_size=8, key=key).digest(), "big") or 1


def _without_port(hop: str) -> str | None:
    """The address alone, without the port, the brackets and the zone that a proxy may write."""
    for text in (hop, hop.strip("[]"), hop.rpartition(":")[0].strip("[]")):
        with suppress(ValueError):
            return str(ip_address(text)).partition("%")[0]
    return None
