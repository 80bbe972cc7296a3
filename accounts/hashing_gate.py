"""Computes password hashes on a few threads of low priority, and lets only so many requests of the host wait for one.

A hash takes a quarter of a second of a whole core and frees the interpreter meanwhile: sixty sign-ins at once would
make every other request wait for seconds. The threads are made at the first use, which is after gunicorn's fork.

All processes that share DATA_DIR share the places, too: each place is a locked file, which the kernel unlocks when its
process dies, whatever it dies of.
"""

import fcntl
import os
import threading
import time
from bisect import insort
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import connection
from prometheus_client import Gauge

from accounts.errors import Overloaded

NICENESS = 10
LOOK_SECONDS = 0.002  # how often whoever is next looks for a core; a hash takes a hundred times as long
FULL_SECONDS = 0.005
REFUSAL_SECONDS = 0.05
REFUSED_AT_ONCE = 32  # of a process: each of them keeps a thread of the web server
T = TypeVar("T")

hashes_waiting = Gauge(
    "password_hashes_waiting", "Passwords that wait for a core to be hashed.", multiprocess_mode="livesum"
)


class HashingGate:
    """At most `concurrency` hashes at once, and at most `queue` callers that wait for theirs, of all processes."""

    def __init__(self, folder: Path, concurrency: int, queue: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._next = folder / "next"
        self._cores = _Slots(folder / "core", concurrency)
        self._places = _Slots(folder / "place", concurrency + queue, FULL_SECONDS)
        self._refused = threading.BoundedSemaphore(REFUSED_AT_ONCE)
        self._executor = ThreadPoolExecutor(concurrency, "hash", initializer=_lower_priority)

    def run(self, compute: Callable[..., T], *arguments: object) -> T:
        """What `compute` returns. Raises Overloaded at once when nobody else may wait."""
        with self.place():
            _lend_connection()
            hashes_waiting.inc()
            return self._executor.submit(self._compute, compute, *arguments).result()

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places of those that hash or wait for it. Raises Overloaded when all are taken."""
        place = self._places.take()
        if place is None:
            self._slow_down()
            raise Overloaded(retry_after=timedelta(seconds=2))
        try:
            yield
        finally:
            self._places.give(place)

    def require_place(self) -> None:
        """Raises Overloaded when nobody else may wait: a flood is refused before it costs anything."""
        with self.place():
            pass

    def _slow_down(self) -> None:
        """Clients that ask again at once would take the cores from the hashes; only so many are held up, though."""
        if self._refused.acquire(blocking=False):
            time.sleep(REFUSAL_SECONDS)
            self._refused.release()

    def _compute(self, compute: Callable[..., T], *arguments: object) -> T:
        core = self._wait_for_core()
        hashes_waiting.dec()
        try:
            return compute(*arguments)
        finally:
            self._cores.give(core)

    def _wait_for_core(self) -> int:
        """One thread of the host looks, the others sleep until it has found one: nobody overtakes."""
        handle = _opened(self._next)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            while (core := self._cores.take()) is None:
                time.sleep(LOOK_SECONDS)
            return core
        finally:
            os.close(handle)


class _Slots:
    """So many files, each of which one thread of one process at a time has locked.

    When none was free, nobody looks again for `full_seconds`, unless one is given back here.
    """

    def __init__(self, path: Path, number: int, full_seconds: float = 0) -> None:
        self._path = path
        self._files: dict[int, int] = {}
        self._not_ours = list(range(number))
        self._lock = threading.Lock()
        self._full_seconds, self._full_until = full_seconds, 0.0

    def take(self) -> int | None:
        """One that nobody has, which is ours until it is given back."""
        if time.monotonic() < self._full_until:
            return None
        with self._lock:
            for index in self._not_ours:
                with suppress(BlockingIOError):
                    fcntl.flock(self._file(index), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._not_ours.remove(index)
                    return index
            self._full_until = time.monotonic() + self._full_seconds
        return None

    def give(self, index: int) -> None:
        with self._lock:
            fcntl.flock(self._files[index], fcntl.LOCK_UN)
            insort(self._not_ours, index)
            self._full_until = 0.0

    def _file(self, index: int) -> int:
        """Opened when it is needed: the first ones are taken first, and most are never needed."""
        if index not in self._files:
            self._files[index] = _opened(self._path.with_name(f"{self._path.name}-{index}"))
        return self._files[index]


def _lend_connection() -> None:
    """A hash takes a while, in which another request may have this one's connection, if it is borrowed from a pool."""
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()


def _opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lower_priority() -> None:
    """Linux gives each thread its own nice value; elsewhere the scheduler must cope."""
    if hasattr(os, "setpriority"):
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@cache
def gate() -> HashingGate:
    """The gate of this process."""
    return HashingGate(settings.DATA_DIR / "hashing", settings.LOGIN_CONCURRENCY, settings.LOGIN_QUEUE)


os.register_at_fork(after_in_child=gate.cache_clear)
