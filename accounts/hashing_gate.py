"""Limits concurrent password hashing: a bounded queue in front of a few low-priority threads, shared by all processes
of the host and fairly between client networks.

A hash takes a quarter of a second of a whole core and frees the interpreter meanwhile: sixty sign-ins at once would
make every other request wait for seconds. The threads are made at the first use, which is after gunicorn's fork.
"""

import fcntl
import os
import threading
import time
from bisect import insort
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

from django.conf import settings
from django.db import connection
from prometheus_client import Gauge

from accounts import origin
from accounts.errors import Overloaded
from accounts.hashing_places import Places, locked, opened
from accounts.signals import hash_awaited

NICENESS = 10
LOOK_SECONDS = 0.002  # how often a process with waiting callers looks for a core; a hash takes a hundred times as long
REFUSAL_SECONDS = 0.2
REFUSED_AT_ONCE = 32  # of a process: each of them keeps a thread of the web server
T = TypeVar("T")

hashes_waiting = Gauge(
    "password_hashes_waiting", "Passwords that wait for a core to be hashed.", multiprocess_mode="livesum"
)


class HashingGate:
    """At most `concurrency` hashes at once, and at most `queue` callers that wait for theirs, of all processes."""

    def __init__(self, folder: Path, concurrency: int, queue: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cores = _Cores(folder, concurrency)
        self._places = Places(folder, concurrency + queue)
        self._jobs: dict[int, _Job] = {}
        self._looking = threading.Lock()
        self._refused = threading.BoundedSemaphore(REFUSED_AT_ONCE)
        self._executor = ThreadPoolExecutor(concurrency, "hash", initializer=_lower_priority)

    def run(self, compute: Callable[..., T], *arguments: object) -> T:
        """What `compute` returns, which runs in the caller's context, but on a thread of low priority.

        It uses the place that the caller holds, or one of its own. Raises Overloaded at once without a place.
        """
        held = _held.get()
        if held is None or held.gate is not self:
            with self.place():
                return self.run(compute, *arguments)
        _lend_connection()
        job = _Job(Future(), partial(copy_context().run, compute, *arguments))
        self._jobs[held.place] = job
        try:
            self._places.wait(held.place)
            hashes_waiting.inc()
            self._executor.submit(self._serve)
            return cast(T, job.future.result())
        finally:
            if self._jobs.pop(held.place, None):  # an interrupt came first
                hashes_waiting.dec()

    @contextmanager
    def place(self, *, is_known: bool = False) -> Iterator[None]:
        """One of the places of those that hash or wait for it, for all that the block hashes.

        `is_known` says that the account logged in from this network before: a few places are kept for those. Raises
        Overloaded when the client's network has its share of the places, or all are taken.
        """
        index = self._places.take(origin.networks(origin.current.get()), is_known=is_known)
        if index is None:
            self._refuse()
        token = _held.set(_Held(self, index))
        try:
            yield
        finally:
            _held.reset(token)
            self._places.give(index)

    def require_room(self) -> None:
        """Raises Overloaded when not even a known account of the client's network would get a place.

        A flood is refused here before its requests are read. It reserves nothing.
        """
        if not self._places.has_room(origin.networks(origin.current.get()), is_known=True):
            self._refuse()

    def _refuse(self) -> NoReturn:
        """Raises Overloaded after a pause. Without it, clients that retry at once would take the cores from the hashes.
        At most REFUSED_AT_ONCE requests of a process pause at the same time."""
        _lend_connection()
        if self._refused.acquire(blocking=False):
            time.sleep(REFUSAL_SECONDS)
            self._refused.release()
        raise Overloaded(retry_after=timedelta(seconds=2))

    def _serve(self) -> None:
        """Computes one of the waiting jobs of this process, when it is the turn of one and a core is free."""
        with self._looking:
            found = self._wait_for_turn()
        if found is None:
            return
        core, job = found
        hashes_waiting.dec()
        try:
            result = job.compute()
        except BaseException as fault:  # noqa: BLE001 - the caller's to handle, whatever it is
            self._cores.give(core)
            job.future.set_exception(fault)
        else:
            self._cores.give(core)
            job.future.set_result(result)

    def _wait_for_turn(self) -> tuple[int, "_Job"] | None:
        """One thread of each process looks; None when no job is left, as callers may stop waiting."""
        while self._jobs:
            core = self._cores.take()
            if core is not None:
                index = self._places.next()
                job = self._jobs.pop(index, None) if index is not None else None
                if job:
                    return core, job
                self._cores.give(core)
            time.sleep(LOOK_SECONDS)
        return None


class _Held(NamedTuple):
    gate: HashingGate
    place: int


class _Job(NamedTuple):
    future: "Future[Any]"
    compute: Callable[[], Any]


_held: ContextVar[_Held | None] = ContextVar("place", default=None)


class _Cores:
    """A fixed number of files; a thread that has locked one may use a core."""

    def __init__(self, folder: Path, number: int) -> None:
        self._files = [opened(folder / f"core-{index}") for index in range(number)]
        self._not_ours = list(range(number))
        self._mutex = threading.Lock()

    def take(self) -> int | None:
        """One that nobody has, which is ours until it is given back."""
        with self._mutex:
            for index in self._not_ours:
                if locked(self._files[index]):
                    self._not_ours.remove(index)
                    return index
        return None

    def give(self, index: int) -> None:
        with self._mutex:
            fcntl.flock(self._files[index], fcntl.LOCK_UN)
            insort(self._not_ours, index)


def _lend_connection() -> None:
    """Hash and refusal take a while, in which another request may have this one's connection, if a pool lent it.

    The web server learns that this thread takes no time of the interpreter meanwhile.
    """
    hash_awaited.send(sender=None)
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()


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
