"""A worker is shared between client networks: whatever one of them does, another one has its place and its turn."""

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from pytest_django import Settings

from usermanager.client_shares import (
    ARRIVING,
    ARRIVING_OF_A_NETWORK,
    OPEN_OF_A_NETWORK,
    WAITING_OF_A_NETWORK,
    Arriving,
    Networks,
    Open,
    Turns,
    client_networks,
)


def fill(arriving: Arriving, peers: Iterator[str]) -> list[int]:
    """Adds a connection from each peer; the numbers of those that had to go."""
    gone = []
    for number, peer in enumerate(peers):
        arriving.add(number, peer)
        if (surplus := arriving.surplus(number)) is not None:
            arriving.remove(surplus)
            gone.append(surplus)
    return gone


@pytest.mark.parametrize(
    ("peer", "share"),
    [
        ("192.0.2.7", ARRIVING_OF_A_NETWORK[32]),
        ("192.0.2.{}", ARRIVING_OF_A_NETWORK[24]),
        ("::ffff:192.0.2.7", ARRIVING_OF_A_NETWORK[32]),
        ("2001:db8:1:1::{:x}", ARRIVING_OF_A_NETWORK[64]),
        ("2001:db8:1:{:x}::1", ARRIVING_OF_A_NETWORK[56]),
        ("2001:db8:1:{:x}00::1", ARRIVING_OF_A_NETWORK[48]),
        ("fe80::{:x}%eth0", ARRIVING_OF_A_NETWORK[64]),
    ],
)
def test_a_network_that_has_its_share_loses_its_oldest_connection(peer: str, share: int) -> None:
    arriving = Arriving()
    arriving.add("other", "203.0.113.7")
    assert fill(arriving, (peer.format(number) for number in range(250))) == list(range(250 - share))
    assert "other" in arriving


def test_all_networks_together_have_a_bound_which_alone_holds_for_a_proxy(settings: Settings) -> None:
    assert len(fill(Arriving(), (f"10.{number}.0.1" for number in range(256)))) == 0
    settings.TRUSTED_PROXIES = 1
    assert fill(Arriving(), iter(["192.0.2.7"] * (ARRIVING + 2))) == [0, 1]


def test_nothing_is_left_of_connections_that_are_gone() -> None:
    arriving = Arriving()
    fill(arriving, iter(["192.0.2.7", "2001:db8::1"]))
    for connection in arriving:
        arriving.remove(connection)
    assert (len(arriving), arriving._of_network) == (0, {})


def test_a_network_has_only_so_many_connections(settings: Settings) -> None:
    connections, share = Open(), OPEN_OF_A_NETWORK[32]
    assert [connections.enter("192.0.2.7") for _number in range(share + 1)] == [True] * share + [False]
    assert connections.enter("192.0.2.8")
    connections.leave("192.0.2.7")
    assert connections.enter("192.0.2.7")
    for peer in ["192.0.2.7"] * share + ["192.0.2.8"]:
        connections.leave(peer)
    assert not connections._number
    settings.TRUSTED_PROXIES = 1
    assert all(connections.enter("192.0.2.7") for _number in range(share + 1))


FLOOD, OTHER, OFFICE = (((32, name),) for name in ("flood", "other", "office"))


def test_the_network_with_the_fewest_running_requests_is_next() -> None:
    turns = Turns(threads=4, of_a_network=3)
    for number in range(5):
        assert turns.add(f"flood {number}", FLOOD)
    assert [turns.next() for _turn in range(4)] == ["flood 0", "flood 1", "flood 2", None]  # its share
    assert turns.add("other 0", OTHER)
    assert turns.next() == "other 0"
    turns.add("other 1", OTHER)
    assert turns.next() is None  # no thread is free
    turns.ends(FLOOD, has_idled=False)
    assert turns.next() == "other 1"


def test_a_request_that_waits_for_a_hash_gives_its_turn_up_and_keeps_its_thread() -> None:
    turns = Turns(threads=3, of_a_network=1)
    for number in range(4):
        turns.add(number, OFFICE)
    assert [turns.next(), turns.next()] == [0, None]
    turns.idles(OFFICE)
    assert [turns.next(), turns.next()] == [1, None]
    turns.idles(OFFICE)
    assert [turns.next(), turns.next()] == [2, None]
    turns.idles(OFFICE)
    assert turns.next() is None  # three threads
    turns.ends(OFFICE, has_idled=True)
    assert turns.next() == 3
    for has_idled in (True, True, False):
        turns.ends(OFFICE, has_idled=has_idled)
    assert (turns._free, turns._running, turns._waiting) == (3, {}, {})


def test_only_so_many_requests_of_a_network_wait() -> None:
    turns = Turns(threads=1, of_a_network=1)
    taken = [turns.add(number, FLOOD) for number in range(WAITING_OF_A_NETWORK + 1)]
    assert taken == [True] * WAITING_OF_A_NETWORK + [False]
    assert turns.add("other", OTHER)


def test_a_client_with_many_small_networks_leaves_half_of_the_threads_to_others() -> None:
    turns = Turns(threads=6, of_a_network=2)
    for number in range(9):
        assert turns.add(number, client_networks(f"2001:db8:0:{number}::1", b""))
    assert [turns.next() for _turn in range(4)] == [0, 1, 2, None]
    for number in range(3):
        turns.add(f"other {number}", client_networks(f"2001:db8:1:{number}::1", b""))
    assert [turns.next() for _turn in range(4)] == ["other 0", "other 1", "other 2", None]
    turns.ends(client_networks("2001:db8:0:1::1", b""), has_idled=False)
    assert turns.next() == 3


def test_behind_a_proxy_the_client_it_names_counts(settings: Settings) -> None:
    header = b"GET / HTTP/1.1\r\nx-forwarded-for: 198.51.100.1\r\nX-Forwarded-For:192.0.2.7, 10.0.0.1\r\n\r\n"
    assert client_networks("203.0.113.7", header) == addresses("203.0.113.7")
    settings.TRUSTED_PROXIES = 1
    assert client_networks("203.0.113.7", header) == addresses("10.0.0.1")
    settings.TRUSTED_PROXIES = 2
    assert client_networks("203.0.113.7", header) == addresses("192.0.2.7")
    assert client_networks("203.0.113.7", b"GET / HTTP/1.1\r\n\r\n") == addresses("203.0.113.7")


def addresses(ip: str) -> Networks:
    """An IPv4 address and its /24."""
    number = int(IPv4Address(ip))
    return (32, str(number)), (24, str(number >> 8))
