"""Networks share the hashing slots fairly and take turns, however many requests one of them sends."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from accounts import request_context
from accounts.errors import Overloaded
from accounts.hashing.limiter import HashingLimiter
from accounts.hashing.slots import Slots
from accounts.request_context import Networks, RequestContext
from tests.usermanager.processes import PROJECT, eventually

NUMBER = 34  # LOGIN_QUEUE and two cores
RESERVED = 4


def of(ip: str | None) -> Networks:
    networks = request_context.networks(RequestContext(ip, request_id="r"))
    assert networks
    return networks


def acquire_all(slots: Slots, *ips: str, is_known: bool = False) -> list[int]:
    """Acquires a slot once for each of these IP addresses. Returns the slots that they get."""
    taken = [slots.acquire(of(ip), is_known=is_known) for ip in ips]
    return [index for index in taken if index is not None]


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path, NUMBER)


@pytest.mark.parametrize(
    ("flood", "most"),
    [
        (["192.0.2.1"] * 45, 10),
        (["2001:db8:1:1::1", "2001:db8:1:1::2"] * 30, 10),
        ([f"2001:db8:1:100::{n:x}" for n in range(60)], 10),
        ([f"2001:db8:1:1{n:02x}::1" for n in range(60)], 13),
        ([f"2001:db8:1:{n:x}::1" for n in range(0, 0xFFFF, 0x400)], 15),
        ([f"192.0.2.{n}" for n in range(60)], 15),
    ],
    ids=["IPv4 address", "/64", "/64 of many addresses", "/56", "/48", "/24"],
)
def test_one_network_leaves_slots_for_many_others(slots: Slots, flood: list[str], most: int) -> None:
    assert len(acquire_all(slots, *flood)) == most
    assert not slots.has_free_slot(of(flood[-1]), is_known=True)  # so no query is needed for known accounts
    others = [f"198.51.{n}.7" for n in range(NUMBER - RESERVED - most)]
    assert len(acquire_all(slots, *others)) == len(others)
    assert not slots.has_free_slot(of("203.0.113.1"), is_known=False)


def test_a_flood_of_one_customer_leaves_slots_for_the_neighbours(slots: Slots) -> None:
    acquire_all(slots, *["2001:db8:1:2::1"] * 45)
    assert acquire_all(slots, "2001:db8:1:3::1", "2001:db8:1:ff00::1", "2001:db8:2:1::1")[2:]


def test_a_few_slots_are_kept_for_networks_that_an_account_is_known_from(slots: Slots) -> None:
    botnet = [f"198.51.{n}.7" for n in range(60)]
    assert len(acquire_all(slots, *botnet)) == NUMBER - RESERVED
    assert len(acquire_all(slots, *["192.0.2.1"] * 9, is_known=True)) == 2  # a network gets its share of these, too
    assert len(acquire_all(slots, "192.0.3.1", "192.0.4.1", "192.0.5.1", is_known=True)) == 2


def test_an_operators_command_needs_no_share(slots: Slots) -> None:
    assert request_context.networks(request_context.NO_REQUEST) is None
    taken = [slots.acquire(None, is_known=False) for _number in range(NUMBER + 3)]
    assert taken == [*range(NUMBER), None, None, None]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", [True, True, True]),
        ("192.0.2.1", "192.0.2.2", [False, False, True]),
        ("192.0.2.1", "192.0.3.1", [False, False, False]),
        ("2001:db8:1:2::1", "2001:db8:1:2:9::1", [True, True, True]),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", [False, True, True]),
        ("2001:db8:1:2::1", "2001:db8:1:302::1", [False, False, True]),
        ("2001:db8:1:2::1", "2001:db8:2:2::1", [False, False, False]),
        (None, None, [True, True, True]),
        (None, "192.0.2.1", [False, False, False]),
    ],
)
def test_which_networks_two_clients_share(one: str | None, other: str | None, same: list[bool]) -> None:
    assert [a == b for a, b in zip(of(one), of(other), strict=True)] == same


def turns(slots: Slots, waiting: dict[int, str]) -> list[str]:
    """Returns the order of the turns. Each client releases its slot at once."""
    order = []
    while (index := slots.start_next()) is not None:
        order.append(waiting[index])
        slots.release(index)
    return order


def wait(slots: Slots, *ips: str) -> dict[int, str]:
    waiting = {}
    for ip in ips:
        [index] = acquire_all(slots, ip)
        slots.start_waiting(index)
        waiting[index] = ip
    return waiting


def test_networks_take_turns(slots: Slots) -> None:
    a, b, c = "192.0.2.1", "198.51.100.1", "203.0.113.1"
    waiting = wait(slots, a, a, a, a, a, b, b, c)
    assert turns(slots, waiting) == [a, b, c, a, b, a, a, a]


def test_addresses_of_one_wide_network_share_its_turns(slots: Slots) -> None:
    wide, other = [f"2001:db8:1:{n}::1" for n in range(4)], "198.51.100.1"
    waiting = wait(slots, *wide, wide[0], other, other)
    assert turns(slots, waiting) == [wide[0], other, wide[1], other, wide[2], wide[3], wide[0]]


def test_a_new_network_is_next_and_new_networks_keep_no_other_waiting_forever(slots: Slots) -> None:
    a = "192.0.2.1"
    turns(slots, wait(slots, a))
    waiting = wait(slots, a)
    served: list[str] = []
    while a not in served:
        waiting |= wait(slots, f"198.51.{len(served)}.7")
        index = slots.start_next()
        assert index is not None
        served.append(waiting[index])
        slots.release(index)
        assert len(served) < 2 * NUMBER
    assert len(served) > NUMBER / 2


OTHER = """
import sys, time
from pathlib import Path
from accounts.hashing.slots import Slots

slots = Slots(Path(sys.argv[1]), int(sys.argv[2]))
for _number in range(int(sys.argv[3])):
    slots.start_waiting(slots.acquire(None, is_known=False))
print("waiting", flush=True)
time.sleep(60)
"""


@contextmanager
def another_process(folder: Path, number: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Starts a process that waits with `number` slots until it is killed."""
    arguments = [sys.executable, "-c", OTHER, str(folder), str(NUMBER), str(number)]
    with subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout
            assert other.stdout.readline() == b"waiting\n"
            yield other
        finally:
            other.kill()


def test_a_killed_process_leaves_its_slots_and_its_turns(tmp_path: Path, slots: Slots) -> None:
    with another_process(tmp_path, NUMBER) as other:
        assert not slots.has_free_slot(None, is_known=False)
        assert slots.start_next() is None  # the other process is next
        other.kill()
        other.wait()
    eventually(lambda: slots.has_free_slot(of("192.0.2.1"), is_known=False))
    with another_process(tmp_path, 3) as other:
        mine = wait(slots, "192.0.2.1")
        assert slots.start_next() is None
        other.kill()
        other.wait()
    assert turns(slots, mine) == ["192.0.2.1"]


def test_no_slot_is_taken_twice_and_no_share_overdrawn_at_once(tmp_path: Path) -> None:
    """Each thread has its own table object, so to the files it is a process of its own."""
    threads, rounds = 8, 40
    barrier, holders, most = threading.Barrier(threads, timeout=60), Counter[int](), Counter[str]()
    ips = ["192.0.2.1"] * 4 + [f"198.51.{n}.1" for n in range(threads - 4)]

    def race(number: int) -> None:
        own = Slots(tmp_path, 6)
        for _round in range(rounds):
            barrier.wait()
            index = own.acquire(of(ips[number]), is_known=True)
            if index is not None:
                holders[index] += 1
                most[ips[number]] += 1
            barrier.wait()
            if number == 0:
                assert not [one for one, count in holders.items() if count > 1]
                assert most["192.0.2.1"] <= 2
                assert sum(holders.values()) >= 5
                holders.clear()
                most.clear()
            barrier.wait()
            if index is not None:
                own.release(index)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(race, range(threads)))


def test_the_limiter_hashes_for_networks_in_turns(tmp_path: Path) -> None:
    hashing, begun, go = HashingLimiter(tmp_path, 1, 40), threading.Event(), threading.Event()
    order: list[str] = []
    pool = ThreadPoolExecutor(20)

    def ask(ip: str, compute: object = None) -> "Future[None]":
        def as_client() -> None:
            request_context.current.set(RequestContext(ip, request_id="r"))
            hashing.run(compute or order.append, *([] if compute else [ip]))  # type: ignore[arg-type]

        return pool.submit(as_client)

    def block() -> None:
        begun.set()
        go.wait(30)

    flood, other = "192.0.2.1", "198.51.100.1"
    ask(flood, block)
    assert begun.wait(30)
    for number in range(8):
        ask(flood)
        eventually(lambda number=number: len(hashing._jobs) == number + 1)  # type: ignore[misc]
    last = ask(other)
    eventually(lambda: len(hashing._jobs) == 9)
    go.set()
    last.result(30)
    pool.shutdown()
    assert order.index(other) == 0
    assert len(order) == 9


def test_one_slot_is_enough_for_all_that_a_request_hashes(tmp_path: Path) -> None:
    hashing = HashingLimiter(tmp_path, 1, 0)
    with hashing.slot():
        assert [hashing.run(divmod, 7, 2), hashing.run(divmod, 9, 2)] == [(3, 1), (4, 1)]
        with ThreadPoolExecutor(1) as another, pytest.raises(Overloaded):
            another.submit(hashing.require_free_slot).result()
    hashing.require_free_slot()
