"""Shares the connections and threads of a worker fairly between client networks."""

import re
from collections import Counter, deque
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from django.conf import settings

from accounts import request_context

# A provider gives one customer an IPv6 /64, sometimes a /56 or /48.
PREFIXES = {4: (32, 24), 6: (64, 56, 48)}
MAX_INCOMPLETE_PER_NETWORK = {32: 50, 24: 200, 64: 50, 56: 100, 48: 200}
MAX_INCOMPLETE = 600  # of all networks together; gunicorn accepts a thousand connections in any state
MAX_QUEUED_PER_NETWORK = 200
MAX_OPEN_PER_NETWORK = {32: 400, 24: 600, 64: 400, 56: 500, 48: 600}

Networks = tuple[tuple[int, str], ...]

_FORWARDED_FOR = re.compile(rb"\r\nx-forwarded-for:[ \t]*([^\r\n]*)", re.IGNORECASE)


def peer_networks(peer: str) -> Networks:
    """Returns the networks of a connection as (prefix length, network); none for a trusted proxy with many clients."""
    return () if settings.TRUSTED_PROXIES else _networks(peer)


def client_networks(peer: str, header: bytes) -> Networks:
    """Returns the networks of the client of a request, the smallest first, also behind trusted proxies."""
    if not settings.TRUSTED_PROXIES:
        return _networks(peer or "unknown")
    forwarded = ",".join(match.decode("latin-1") for match in _FORWARDED_FOR.findall(header))
    return _networks(request_context.resolve_client_ip(peer, forwarded) or "unknown")


@lru_cache(maxsize=4096)  # parsing the IP address takes 25 times as long
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


class OpenConnections:
    """Counts the open connections of each network."""

    def __init__(self) -> None:
        self._number: Counter[tuple[int, str]] = Counter()

    def admit(self, peer: str) -> bool:
        """Counts a new connection. Returns False, and does not count it, if a network of the peer has its share."""
        networks = peer_networks(peer)
        if any(self._number[network] >= MAX_OPEN_PER_NETWORK[network[0]] for network in networks):
            return False
        self._number.update(networks)
        return True

    def remove(self, peer: str) -> None:
        for network in peer_networks(peer):
            self._number[network] -= 1
            if not self._number[network]:
                del self._number[network]


class IncompleteRequests:
    """The connections whose request is still incomplete, the oldest first."""

    def __init__(self) -> None:
        self._networks: dict[Any, Networks] = {}
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

    def find_surplus(self, newest: Any) -> Any:
        """Returns a connection to close, or None: the oldest one of a network that exceeds its share.

        Requests usually arrive at once, so the oldest connection is the least likely to send a complete one.
        """
        for network in self._networks.get(newest, ()):
            if len(self._of_network[network]) > MAX_INCOMPLETE_PER_NETWORK[network[0]]:
                return next(iter(self._of_network[network]))
        return next(iter(self._networks)) if len(self._networks) > MAX_INCOMPLETE else None

    def discard(self, connection: Any) -> None:
        for network in self._networks.pop(connection, ()):
            connections = self._of_network[network]
            del connections[connection]
            if not connections:
                del self._of_network[network]


class RequestQueue:
    """The requests that wait for a thread. The network with the fewest running requests is next.

    A wider network gets at most half of the threads, because one client may have all its addresses.
    """

    def __init__(self, threads: int, max_per_network: int) -> None:
        self._free_threads = threads
        self._max_per_network = max_per_network
        self._max_per_wider_network = max(max_per_network, threads // 2)
        self._waiting: dict[Networks, deque[Any]] = {}
        self._running: dict[tuple[int, str], int] = {}

    def add(self, request: Any, networks: Networks) -> bool:
        """Appends a request. Returns False if too many requests of its network wait."""
        waiting = self._waiting.setdefault(networks, deque())
        if len(waiting) >= MAX_QUEUED_PER_NETWORK:
            return False
        waiting.append(request)
        return True

    def next(self) -> Any:
        """Removes and returns the request that gets a thread now, or returns None."""
        if not self._waiting or not self._free_threads:
            return None
        ready = [networks for networks in self._waiting if self._may_run(networks)]
        if not ready:
            return None
        networks = min(ready, key=self._running_by_width) if len(ready) > 1 else ready[0]
        waiting = self._waiting[networks]
        request = waiting.popleft()
        if not waiting:
            del self._waiting[networks]
        self._free_threads -= 1
        for network in networks:
            self._running[network] = self._running.get(network, 0) + 1
        return request

    def release_turn(self, networks: Networks) -> None:
        """Lets another request of the network run, because one of its requests only waits for a hash."""
        for network in networks:
            self._running[network] -= 1
            if not self._running[network]:
                del self._running[network]

    def finish(self, networks: Networks, *, has_released_turn: bool) -> None:
        """Frees the thread of a request."""
        self._free_threads += 1
        if not has_released_turn:
            self.release_turn(networks)

    def _may_run(self, networks: Networks) -> bool:
        *wider, smallest = self._running_by_width(networks)
        return smallest < self._max_per_network and max(wider, default=0) < self._max_per_wider_network

    def _running_by_width(self, networks: Networks) -> list[int]:
        """Returns the numbers of running requests, that of the widest network first."""
        return [self._running.get(network, 0) for network in reversed(networks)]
