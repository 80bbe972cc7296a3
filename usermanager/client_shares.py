"""Shares a worker between client networks: connections whose request is still arriving, and turns for a thread."""

import re
from collections import Counter, deque
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from django.conf import settings

from accounts import origin

# An IPv6 /64 is what one customer is given, and some are given a /56 or /48.
PREFIXES = {4: (32, 24), 6: (64, 56, 48)}
ARRIVING_OF_A_NETWORK = {32: 50, 24: 200, 64: 50, 56: 100, 48: 200}
ARRIVING = 600  # of all networks; gunicorn accepts a thousand connections, whatever they do
WAITING_OF_A_NETWORK = 200
OPEN_OF_A_NETWORK = {32: 400, 24: 600, 64: 400, 56: 500, 48: 600}

Networks = tuple[tuple[int, str], ...]

_FORWARDED_FOR = re.compile(rb"\r\nx-forwarded-for:[ \t]*([^\r\n]*)", re.IGNORECASE)


def peer_networks(peer: str) -> list[tuple[int, str]]:
    """The networks of a connection, each with its prefix length; none for a trusted proxy, which serves everybody."""
    return [] if settings.TRUSTED_PROXIES else list(_networks(peer))


def client_networks(peer: str, header: bytes) -> Networks:
    """The networks that a request comes from, the smallest first, behind trusted proxies too."""
    forwarded = ",".join(match.decode("latin-1") for match in _FORWARDED_FOR.findall(header))
    return _networks(origin.believed_ip(peer, forwarded) or "unknown")


def _networks(ip: str) -> Networks:
    address = _address(ip)
    if address is None:
        return ((32, ip),)
    return tuple((bits, str(int(address) >> (address.max_prefixlen - bits))) for bits in PREFIXES[address.version])


def _address(peer: str) -> Any:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Open:
    """How many connections each network has, whatever they do."""

    def __init__(self) -> None:
        self._number: Counter[tuple[int, str]] = Counter()

    def enter(self, peer: str) -> bool:
        """False when a network of this peer has its share already."""
        networks = peer_networks(peer)
        if any(self._number[network] >= OPEN_OF_A_NETWORK[network[0]] for network in networks):
            return False
        self._number.update(networks)
        return True

    def leave(self, peer: str) -> None:
        for network in peer_networks(peer):
            self._number[network] -= 1
            if not self._number[network]:
                del self._number[network]


class Arriving:
    """Connections whose request has not arrived whole, the oldest first."""

    def __init__(self) -> None:
        self._networks: dict[Any, list[tuple[int, str]]] = {}
        self._of_network: dict[tuple[int, str], dict[Any, None]] = {}

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._networks))

    def __contains__(self, connection: Any) -> bool:
        return connection in self._networks

    def add(self, connection: Any, peer: str) -> None:
        networks = self._networks[connection] = peer_networks(peer)
        for network in networks:
            self._of_network.setdefault(network, {})[connection] = None

    def surplus(self, newest: Any) -> Any:
        """The connection that has to go, or None: the oldest of the newest one's network, when that has its share.

        A request arrives within moments, so the oldest connection is the least likely to bring one.
        """
        for network in self._networks.get(newest, []):
            if len(self._of_network[network]) > ARRIVING_OF_A_NETWORK[network[0]]:
                return next(iter(self._of_network[network]))
        return next(iter(self._networks)) if len(self._networks) > ARRIVING else None

    def remove(self, connection: Any) -> None:
        for network in self._networks.pop(connection):
            connections = self._of_network[network]
            del connections[connection]
            if not connections:
                del self._of_network[network]


class Turns:
    """Requests that wait for a thread: the network with the fewest running ones is next.

    A wider network, of which a client may have all addresses, has no more than half of the threads.
    """

    def __init__(self, threads: int, of_a_network: int) -> None:
        self._free = threads
        self._of_a_network = of_a_network
        self._of_a_wider_one = max(of_a_network, threads // 2)
        self._waiting: dict[Networks, deque[Any]] = {}
        self._running: Counter[tuple[int, str]] = Counter()

    def add(self, request: Any, networks: Networks) -> bool:
        """False when too many of this network wait already."""
        waiting = self._waiting.setdefault(networks, deque())
        if len(waiting) >= WAITING_OF_A_NETWORK:
            return False
        waiting.append(request)
        return True

    def next(self) -> Any:
        """The request that gets a thread now, or None."""
        able = [networks for networks in self._waiting if self._may_run(networks)] if self._free else []
        if not able:
            return None
        networks = min(able, key=self._numbers_of_running)
        waiting = self._waiting[networks]
        request = waiting.popleft()
        if not waiting:
            del self._waiting[networks]
        self._free -= 1
        self._running.update(networks)
        return request

    def idles(self, networks: Networks) -> None:
        """A running request waits for a hash and leaves the interpreter to others: another one may have its turn."""
        for network in networks:
            self._running[network] -= 1
            if not self._running[network]:
                del self._running[network]

    def ends(self, networks: Networks, *, has_idled: bool) -> None:
        """The thread of a request is free again."""
        self._free += 1
        if not has_idled:
            self.idles(networks)

    def _may_run(self, networks: Networks) -> bool:
        smallest, *wider = self._numbers_of_running(networks)[::-1]
        return smallest < self._of_a_network and all(number < self._of_a_wider_one for number in wider)

    def _numbers_of_running(self, networks: Networks) -> list[int]:
        """Of the widest network first."""
        return [self._running[network] for network in reversed(networks)]
