"""Shares the slots in front of the hashing limiter between client networks, and decides which network is next.

All processes that use DATA_DIR share one table of slots. A process holds a slot by locking the slot's file, so the
kernel frees the slot if the process dies. The names and the format of the files must not change, because processes of
two versions share them during an upgrade.
"""

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from accounts.request_context import Networks

# A network may take another slot while it holds fewer than this share of the free ones. The shares are those of an IPv4
# address or an IPv6 /64, of a /56, and of a /24 or /48. One address alone gets a third of all slots, and others share
# the rest.
SHARES = (2 / 4, 3 / 4, 4 / 4)
RESERVED = 8  # one slot in eight is reserved for accounts that are known from the client's network
SWEEP_SECONDS = 0.1  # how often a process without a free slot looks for slots of dead processes
_COUNTER = struct.Struct("<Q")
_SLOT = struct.Struct("<BQQQQ")
_TURN = struct.Struct("<QQQQ")


class State(IntEnum):
    FREE = 0
    HELD = 1
    WAITING = 2
    RUNNING = 3


class Slot(NamedTuple):
    """`since` is the number of turns that had begun when the holder started to wait."""

    state: int
    since: int
    networks: Networks


class Slots:
    """A fixed number of slots: a table in one file, and for each slot a file that its holder locks."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number
        self._reserved = number // RESERVED
        self._file = open_lock_file(folder / f"places-{number}")
        self._locks: dict[int, int] = {}
        self._ours: set[int] = set()
        self._mutex = threading.Lock()
        self._swept_at = 0.0

    def acquire(self, networks: Networks | None, *, is_known: bool) -> int | None:
        """Takes a slot for a client of these networks until it is released; None if the client may not have one.

        A command has no networks, and gets a slot unless all are taken.
        """
        with self._exclusive():
            if not self._sweep_and_has_free_slot(networks, is_known):
                return None
            for index, slot in enumerate(self._read_slots()):
                if slot.state == State.FREE and self._try_lock(index):
                    self._ours.add(index)
                    self._write(index, Slot(State.HELD, 0, networks or (0, 0, 0)))
                    return index
        return None

    def has_free_slot(self, networks: Networks | None, *, is_known: bool) -> bool:
        """Returns whether acquire() would succeed. Reserves nothing."""
        with self._exclusive():
            return self._sweep_and_has_free_slot(networks, is_known)

    def is_full(self, networks: Networks | None, *, is_known: bool) -> bool:
        """Returns whether acquire() would have failed a moment ago.

        Reads the table once, and waits for no lock. The slots of dead processes count as taken.
        """
        return not self._has_free_slot(networks, is_known)

    def release(self, index: int) -> None:
        with self._exclusive():
            self._write(index, Slot(State.FREE, 0, (0, 0, 0)))
            self._ours.discard(index)
            fcntl.flock(self._locks[index], fcntl.LOCK_UN)

    def start_waiting(self, index: int) -> None:
        """Records that the holder waits for its turn."""
        with self._exclusive():
            slot = self._read_slots()[index]
            self._write(index, slot._replace(state=State.WAITING, since=self._read_number_of_turns()))

    def start_next(self) -> int | None:
        """Begins the turn of the next slot if this process holds it, and returns the slot; otherwise None.

        Networks take turns. The network whose last turn is longest ago is next, first among /48s (IPv4: /24s), then
        within them. The table remembers as many turns as there are slots. A network without one of them counts as if
        its last turn had been that many turns before it started to wait. Without this rule, new networks could keep
        another one waiting forever.
        """
        with self._exclusive():
            while (index := self._first()) is not None:
                if index in self._ours:
                    self._begin(index)
                    return index
                if not self._free_if_dead(index):
                    return None
        return None

    def _sweep_and_has_free_slot(self, networks: Networks | None, is_known: bool) -> bool:
        if self._has_free_slot(networks, is_known):
            return True
        return self._sweep() and self._has_free_slot(networks, is_known)

    def _has_free_slot(self, networks: Networks | None, is_known: bool) -> bool:
        taken = [numbers for state, _since, *numbers in _SLOT.iter_unpack(self._read_table()) if state]
        free = self._number - len(taken)
        if networks is None:
            return free > 0
        kept = min(free, self._reserved)
        # A known account gets no larger share while unreserved slots are free. So a flood from one network is rejected
        # without asking the database whether its accounts are known.
        free = max(free - kept, kept) if is_known else free - kept
        if free <= 0:
            return False
        held = (sum(numbers[level] == network for numbers in taken) for level, network in enumerate(networks))
        return all(number < free * share for number, share in zip(held, SHARES, strict=True))

    def _first(self) -> int | None:
        waiting = {index: slot for index, slot in enumerate(self._read_slots()) if slot.state == State.WAITING}
        if not waiting:
            return None
        last = self._last_turns()

        def order(index: int) -> tuple[int, ...]:
            slot = waiting[index]
            turns = [last.get((level, network), 0) for level, network in enumerate(slot.networks)]
            return (*(max(turn, slot.since - self._number) for turn in reversed(turns)), slot.since, index)

        return min(waiting, key=order)

    def _last_turns(self) -> dict[tuple[int, int], int]:
        """Returns the number of each network's last turn, for the turns that the table remembers."""
        raw = os.pread(self._file, self._number * _TURN.size, self._offset_of_turns())
        last: dict[tuple[int, int], int] = {}
        for number, *networks in _TURN.iter_unpack(raw):
            for key in enumerate(networks):
                last[key] = max(number, last.get(key, 0))
        return last

    def _begin(self, index: int) -> None:
        slot, number = self._read_slots()[index], self._read_number_of_turns() + 1
        self._write(index, slot._replace(state=State.RUNNING))
        turn = _TURN.pack(number, *slot.networks)
        os.pwrite(self._file, turn, self._offset_of_turns() + number % self._number * _TURN.size)
        os.pwrite(self._file, _COUNTER.pack(number), 0)

    def _sweep(self) -> bool:
        """Frees the slots of dead processes. Returns whether it looked for any."""
        if time.monotonic() - self._swept_at < SWEEP_SECONDS:
            return False
        self._swept_at = time.monotonic()
        for index, slot in enumerate(self._read_slots()):
            if slot.state != State.FREE and index not in self._ours:
                self._free_if_dead(index)
        return True

    def _free_if_dead(self, index: int) -> bool:
        """Frees a slot that is taken although its file can be locked: its process is dead. Returns whether it did."""
        if not self._try_lock(index):
            return False
        self._write(index, Slot(State.FREE, 0, (0, 0, 0)))
        fcntl.flock(self._locks[index], fcntl.LOCK_UN)
        return True

    def _try_lock(self, index: int) -> bool:
        if index not in self._locks:
            self._locks[index] = open_lock_file(self._folder / f"place-{index}")
        return try_lock(self._locks[index])

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Locks the table: one thread of one process at a time reads or changes it."""
        with self._mutex:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read_number_of_turns(self) -> int:
        raw = os.pread(self._file, _COUNTER.size, 0)
        return int(_COUNTER.unpack(raw)[0]) if len(raw) == _COUNTER.size else 0

    def _read_slots(self) -> list[Slot]:
        return [Slot(state, since, (a, b, c)) for state, since, a, b, c in _SLOT.iter_unpack(self._read_table())]

    def _read_table(self) -> bytes:
        """Reads the bytes of all slots. A new file is shorter; the slots that it doesn't contain yet are free."""
        size = self._number * _SLOT.size
        return os.pread(self._file, size, _COUNTER.size).ljust(size, b"\0")

    def _write(self, index: int, slot: Slot) -> None:
        raw = _SLOT.pack(slot.state, slot.since, *slot.networks)
        os.pwrite(self._file, raw, _COUNTER.size + index * _SLOT.size)

    def _offset_of_turns(self) -> int:
        return _COUNTER.size + self._number * _SLOT.size


def open_lock_file(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(file: int) -> bool:
    """Locks the file and returns True, or returns False if it is locked through another descriptor. The kernel releases
    the lock of a dead process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
