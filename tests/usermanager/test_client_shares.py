"""A network that uses all of its share leaves connections and threads to the others."""

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from pytest_django import Settings

from usermanager.web_server.client_shares import (
    MAX_INCOMPLETE,
    MAX_INCOMPLETE_PER_NETWORK,
    MAX_OPEN_PER_NETWORK,
    MAX_QUEUED_PER_NETWORK,
    IncompleteRequests,
    Networks,
    OpenConnections,
    RequestQueue,
    client_networks,
)


def fill(incomplete: IncompleteRequests, peers: Iterator[str]) -> list[int]:
    """Adds a connection from each peer, and returns the numbers of the closed ones."""
    gone = []
    for number, peer in enumerate(peers):
        incomplete.add(number, peer)
        if (surplus := incomplete.find_surplus(number)) is not None:
            incomplete.discard(surplus)
            gone.append(surplus)
    return gone


@pytest.mark.parametrize(
    ("peer", "share"),
    [
        ("192.0.2.7", MAX_INCOMPLETE_PER_NETWORK[32]),
        ("192.0.2.{}", MAX_INCOMPLETE_PER_NETWORK[24]),
        ("::ffff:192.0.2.7", MAX_INCOMPLETE_PER_NETWORK[32]),
        ("2001:db8:1:1::{:x}", MAX_INCOMPLETE_PER_NETWORK[64]),
        ("2001:db8:1:{:x}::1", MAX_INCOMPLETE_PER_NETWORK[56]),
        ("2001:db8:1:{:x}00::1", MAX_INCOMPLETE_PER_NETWORK[48]),
        ("fe80::{:x}%eth0", MAX_INCOMPLETE_PER_NETWORK[64]),
    ],
)
def test_a_network_that_has_its_share_loses_its_oldest_connection(peer: str, share: int) -> None:
    incomplete = IncompleteRequests()
    incomplete.add("other", "203.0.113.7")
    assert fill(incomplete, (peer.format(number) for number in range(250))) == list(range(250 - share))
    assert "other" in incomplete


def test_all_networks_together_have_a_limit_and_a_trusted_proxy_has_no_other(settings: Settings) -> None:
    assert len(fill(IncompleteRequests(), (f"10.{number}.0.1" for number in range(256)))) == 0
    settings.TRUSTED_PROXIES = 1
    assert fill(IncompleteRequests(), iter(["192.0.2.7"] * (MAX_INCOMPLETE + 2))) == [0, 1]


def test_removed_connections_leave_nothing_behind() -> None:
    incomplete = IncompleteRequests()
    fill(incomplete, iter(["192.0.2.7", "2001:db8::1"]))
    for connection in incomplete:
        incomplete.discard(connection)
    assert (len(incomplete), incomplete._of_network) == (0, {})


def test_a_network_has_a_limit_of_open_connections(settings: Settings) -> None:
    connections, share = OpenConnections(), MAX_OPEN_PER_NETWORK[32]
    assert [connections.admit("192.0.2.7") for _number in range(share + 1)] == [True] * share + [False]
    assert connections.admit("192.0.2.8")
    connections.remove("192.0.2.7")
    assert connections.admit("192.0.2.7")
    for peer in ["192.0.2.7"] * share + ["192.0.2.8"]:
        connections.remove(peer)
    assert not connections._number
    settings.TRUSTED_PROXIES = 1
    assert all(connections.admit("192.0.2.7") for _number in range(share + 1))


FLOOD, OTHER, OFFICE = (((32, name),) for name in ("flood", "other", "office"))


def test_the_network_with_the_fewest_running_requests_is_next() -> None:
    queue = RequestQueue(threads=4, max_per_network=3)
    for number in range(5):
        assert queue.add(f"flood {number}", FLOOD)
    assert [queue.next() for _turn in range(4)] == ["flood 0", "flood 1", "flood 2", None]  # its share
    assert queue.add("other 0", OTHER)
    assert queue.next() == "other 0"
    queue.add("other 1", OTHER)
    assert queue.next() is None  # no thread is free
    queue.finish(FLOOD, has_released_turn=False)
    assert queue.next() == "other 1"


def test_a_request_that_waits_for_a_hash_releases_its_turn_and_keeps_its_thread() -> None:
    queue = RequestQueue(threads=3, max_per_network=1)
    for number in range(4):
        queue.add(number, OFFICE)
    assert [queue.next(), queue.next()] == [0, None]
    queue.release_turn(OFFICE)
    assert [queue.next(), queue.next()] == [1, None]
    queue.release_turn(OFFICE)
    assert [queue.next(), queue.next()] == [2, None]
    queue.release_turn(OFFICE)
    assert queue.next() is None  # three threads
    queue.finish(OFFICE, has_released_turn=True)
    assert queue.next() == 3
    for has_released_turn in (True, True, False):
        queue.finish(OFFICE, has_released_turn=has_released_turn)
    assert (queue._free_threads, queue._running, queue._waiting) == (3, {}, {})


def test_a_network_has_a_limit_of_queued_requests() -> None:
    queue = RequestQueue(threads=1, max_per_network=1)
    taken = [queue.add(number, FLOOD) for number in range(MAX_QUEUED_PER_NETWORK + 1)]
    assert taken == [True] * MAX_QUEUED_PER_NETWORK + [False]
    assert queue.add("other", OTHER)


def test_a_client_with_many_small_networks_leaves_half_of_the_threads_to_others() -> None:
    queue = RequestQueue(threads=6, max_per_network=2)
    for number in range(9):
        assert queue.add(number, client_networks(f"2001:db8:0:{number}::1", b""))
    assert [queue.next() for _turn in range(4)] == [0, 1, 2, None]
    for number in range(3):
        queue.add(f"other {number}", client_networks(f"2001:db8:1:{number}::1", b""))
    assert [queue.next() for _turn in range(4)] == ["other 0", "other 1", "other 2", None]
    queue.finish(client_networks("2001:db8:0:1::1", b""), has_released_turn=False)
    assert queue.next() == 3


def test_behind_a_proxy_the_client_counts_that_it_names(settings: Settings) -> None:
    header = b"GET / HTTP/1.1\r\nx-forwarded-for: 198.51.100.1\r\nX-Forwarded-For:192.0.2.7, 10.0.0.1\r\n\r\n"
    assert client_networks("203.0.113.7", header) == addresses("203.0.113.7")
    settings.TRUSTED_PROXIES = 1
    assert client_networks("203.0.113.7", header) == addresses("10.0.0.1")
    settings.TRUSTED_PROXIES = 2
    assert client_networks("203.0.113.7", header) == addresses("192.0.2.7")
    assert client_networks("203.0.113.7", b"GET / HTTP/1.1\r\n\r\n") == addresses("203.0.113.7")


def addresses(ip: str) -> Networks:
    """Returns an IPv4 address and its /24."""
    number = int(IPv4Address(ip))
    return (32, str(number)), (24, str(number >> 8))
