"""The places in front of the hashing gate: which network holds one, whether it may take another, whose turn is next.

All processes that share DATA_DIR share one table of places. A place belongs to the process that has locked the file of
that place, so the kernel frees it when the process dies, whatever it dies of.
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

from accounts.origin import Networks

# A network may hold places as long as they are fewer than this share of the free ones: of an IPv6 /64 or an IPv4
# address, of a /56, of a /48 or /24. One network alone gets a third of all places, and several share the rest.
SHARES = (2 / 4, 3 / 4, 4 / 4)
RESERVED = 8  # one place in eight is kept for accounts that logged in from their network before
SWEEP_SECONDS = 0.1  # how often a process with no room looks for places of dead processes
_TURNS = struct.Struct("<Q")
_PLACE = struct.Struct("<BQQQQ")
_TURN = struct.Struct("<QQQQ")


class State(IntEnum):
    FREE = 0
    HELD = 1
    WAITING = 2
    RUNNING = 3


class Place(NamedTuple):
    """`since` is how many turns had been taken when its holder began to wait."""

    state: int
    since: int
    networks: Networks


class Places:
    """A fixed number of places in one file, and one more file for each place, which its holder locks."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number
        self._reserved = number // RESERVED
        self._file = opened(folder / f"places-{number}")
        self._locks: dict[int, int] = {}
        self._ours: set[int] = set()
        self._mutex = threading.Lock()
        self._swept_at = 0.0

    def take(self, networks: Networks | None, *, is_known: bool) -> int | None:
        """A place for a client of these networks, until it is given back; None without room for another one.

        A command has no networks and is refused only when every place is taken.
        """
        with self._locked():
            if not self._has_room(networks, is_known):
                return None
            for index, place in enumerate(self._places()):
                if place.state == State.FREE and self._lock(index):
                    self._ours.add(index)
                    self._write(index, Place(State.HELD, 0, networks or (0, 0, 0)))
                    return index
        return None

    def has_room(self, networks: Networks | None, *, is_known: bool) -> bool:
        with self._locked():
            return self._has_room(networks, is_known)

    def give(self, index: int) -> None:
        with self._locked():
            self._write(index, Place(State.FREE, 0, (0, 0, 0)))
            self._ours.discard(index)
            fcntl.flock(self._locks[index], fcntl.LOCK_UN)

    def wait(self, index: int) -> None:
        """The holder wants a turn."""
        with self._locked():
            place = self._places()[index]
            self._write(index, place._replace(state=State.WAITING, since=self._number_of_turns()))

    def next(self) -> int | None:
        """The place whose turn it is, if it is one of this process; its turn has begun then.

        Networks take turns: the one that had none for the longest time is next, first among /48s (IPv4: /24s), then
        within them. A network without a turn among the last ones counts as if its last turn had been that long ago
        when it began to wait, so that no number of new networks keeps another one waiting for ever.
        """
        with self._locked():
            while (index := self._first()) is not None:
                if index in self._ours:
                    self._begin(index)
                    return index
                if not self._free_if_dead(index):
                    return None
        return None

    def _has_room(self, networks: Networks | None, is_known: bool) -> bool:
        if self._is_room(networks, is_known):
            return True
        return self._sweep() and self._is_room(networks, is_known)

    def _is_room(self, networks: Networks | None, is_known: bool) -> bool:
        taken = [place for place in self._places() if place.state != State.FREE]
        free = self._number - len(taken)
        if networks is None:
            return free > 0
        kept = min(free, self._reserved)
        # Being known lifts no share while others are free: a flood of one network is refused without asking for that.
        free = max(free - kept, kept) if is_known else free - kept
        if free <= 0:
            return False
        held = (sum(place.networks[level] == network for place in taken) for level, network in enumerate(networks))
        return all(number < free * share for number, share in zip(held, SHARES, strict=True))

    def _first(self) -> int | None:
        waiting = {index: place for index, place in enumerate(self._places()) if place.state == State.WAITING}
        if not waiting:
            return None
        last = self._last_turns()

        def order(index: int) -> tuple[int, ...]:
            place = waiting[index]
            turns = [last.get((level, network), 0) for level, network in enumerate(place.networks)]
            return (*(max(turn, place.since - self._number) for turn in reversed(turns)), place.since, index)

        return min(waiting, key=order)

    def _last_turns(self) -> dict[tuple[int, int], int]:
        """The number of each network's last turn, as far as it is remembered."""
        raw = os.pread(self._file, self._number * _TURN.size, self._offset_of_turns())
        last: dict[tuple[int, int], int] = {}
        for number, *networks in _TURN.iter_unpack(raw):
            for key in enumerate(networks):
                last[key] = max(number, last.get(key, 0))
        return last

    def _begin(self, index: int) -> None:
        place, number = self._places()[index], self._number_of_turns() + 1
        self._write(index, place._replace(state=State.RUNNING))
        turn = _TURN.pack(number, *place.networks)
        os.pwrite(self._file, turn, self._offset_of_turns() + number % self._number * _TURN.size)
        os.pwrite(self._file, _TURNS.pack(number), 0)

    def _sweep(self) -> bool:
        """Frees the places of dead processes; whether it looked for any."""
        if time.monotonic() - self._swept_at < SWEEP_SECONDS:
            return False
        self._swept_at = time.monotonic()
        for index, place in enumerate(self._places()):
            if place.state != State.FREE and index not in self._ours:
                self._free_if_dead(index)
        return True

    def _free_if_dead(self, index: int) -> bool:
        """Only a dead process leaves a place that is not free and can be locked."""
        if not self._lock(index):
            return False
        self._write(index, Place(State.FREE, 0, (0, 0, 0)))
        fcntl.flock(self._locks[index], fcntl.LOCK_UN)
        return True

    def _lock(self, index: int) -> bool:
        if index not in self._locks:
            self._locks[index] = opened(self._folder / f"place-{index}")
        return locked(self._locks[index])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The table, for one thread of one process at a time."""
        with self._mutex:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _number_of_turns(self) -> int:
        raw = os.pread(self._file, _TURNS.size, 0)
        return int(_TURNS.unpack(raw)[0]) if len(raw) == _TURNS.size else 0

    def _places(self) -> list[Place]:
        """A new file is shorter than the table: what is not there yet is free."""
        size = self._number * _PLACE.size
        raw = os.pread(self._file, size, _TURNS.size).ljust(size, b"\0")
        return [Place(state, since, (a, b, c)) for state, since, a, b, c in _PLACE.iter_unpack(raw)]

    def _write(self, index: int, place: Place) -> None:
        raw = _PLACE.pack(place.state, place.since, *place.networks)
        os.pwrite(self._file, raw, _TURNS.size + index * _PLACE.size)

    def _offset_of_turns(self) -> int:
        return _TURNS.size + self._number * _PLACE.size


def opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def locked(file: int) -> bool:
    """Locks the file unless another open file has locked it; the kernel unlocks it when its last holder is gone."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
