"""The request context: the client's IP address and user agent, and the id of the request."""

import re
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from random import getrandbits

from django.conf import settings
from django.http import HttpRequest

REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
USER_AGENT_LENGTH = 256
IPV6_PREFIX = 64  # the network that a provider gives to one customer, who can use any address in it
# A provider may give a site a /56. The smallest networks that the internet routes are /48 and /24, so one organization
# may have all of one.
WIDER_PREFIXES = {4: (32, 24), 6: (56, 48)}
Networks = tuple[int, int, int]


@dataclass(frozen=True)
class RequestContext:
    """The client of a request. A command or a background task has no IP address and no user agent."""

    ip: str | None = None
    user_agent: str = ""
    request_id: str = ""


NO_REQUEST = RequestContext()
current: ContextVar[RequestContext] = ContextVar("request_context", default=NO_REQUEST)


def request_id(given: str) -> str:
    """Returns the id that the client gave its request, if it is valid, otherwise a new one."""
    return given if REQUEST_ID.fullmatch(given) else f"{getrandbits(128):032x}"


def from_request(request: HttpRequest, request_id: str) -> RequestContext:
    agent = request.META.get("HTTP_USER_AGENT", "")
    return RequestContext(client_ip(request), printable(agent)[:USER_AGENT_LENGTH], request_id)


def client_ip(request: HttpRequest) -> str | None:
    """Returns the client's IP address. Trusts as many X-Forwarded-For entries as TRUSTED_PROXIES says."""
    return resolve_client_ip(request.META.get("REMOTE_ADDR") or "", request.META.get("HTTP_X_FORWARDED_FOR", ""))


def resolve_client_ip(peer: str, forwarded: str) -> str | None:
    """Returns the client's IP address, given the connection's peer and the X-Forwarded-For header."""
    hops = [peer]
    if settings.TRUSTED_PROXIES:
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()] + hops
    trusted = hops[-1 - settings.TRUSTED_PROXIES :]
    return _without_port(trusted[0])


def network(ip: str | None) -> str:
    """Returns the network that counts as one client: an IPv4 address, or the /64 of an IPv6 address."""
    if ip is None:
        return "unknown"
    address = ip_address(ip)
    if address.version == 4 or address.ipv4_mapped:
        return str(getattr(address, "ipv4_mapped", None) or address)
    return str(int(address) >> (128 - IPV6_PREFIX))


def networks(context: RequestContext) -> Networks | None:
    """Returns the client's networks, the smallest first: an IPv6 /64, /56 and /48, or an IPv4 address, the address
    again and its /24. Each is a keyed hash, which only shows whether two networks are equal. None for a command."""
    if context == NO_REQUEST:
        return None
    if context.ip is None:
        return _digest("unknown"), _digest("unknown"), _digest("unknown")
    address = ip_address(context.ip)
    address = getattr(address, "ipv4_mapped", None) or address
    middle, wide = (int(address) >> (address.max_prefixlen - bits) for bits in WIDER_PREFIXES[address.version])
    return _digest(network(context.ip)), _digest(f"{address.version} {middle}"), _digest(f"{address.version} {wide}")


def printable(text: str) -> str:
    """Returns the text without control characters, which could forge log lines or make a database reject the text."""
    return text if text.isprintable() else "".join(character for character in text if character.isprintable())


def _digest(network: str) -> int:
    """Returns a keyed hash of the network, never 0, which means no network."""
    key = str(settings.SECRET_KEY).encode()[:64]
    return int.from_bytes(blake2b(network.encode(), digest_size=8, key=key).digest(), "big") or 1


@lru_cache(maxsize=500)  # of texts of at most 8 KB
def _without_port(hop: str) -> str | None:
    """Returns the IP address without the port, the brackets and the zone that a proxy may add."""
    for text in (hop, hop.strip("[]"), hop.rpartition(":")[0].strip("[]")):
        with suppress(ValueError):
            return str(ip_address(text)).partition("%")[0]
    return None
