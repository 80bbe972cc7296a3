"""Limits concurrent password hashing: a bounded queue in front of a few low-priority threads, shared by all processes
of the host and divided fairly between client networks.

A hash takes a whole core for a quarter of a second and releases the interpreter meanwhile. Without the limit, sixty
logins at once would make every other request wait for seconds. The threads start at the first use, after gunicorn's
fork.
"""

import fcntl
import os
import threading
import time
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

from accounts import request_context
from accounts.errors import Overloaded
from accounts.hashing.slots import Slots, open_lock_file
from accounts.signals import hash_awaited, hash_rejected

NICENESS = 10
PAUSE_SECONDS = 0.002  # for another process to take a core; a hash takes 100 times as long
REJECTION_DELAY_SECONDS = 0.12
MAX_DELAYED_REJECTIONS = 32  # per process: each of them occupies a thread of the web server
T = TypeVar("T")

hashes_waiting = Gauge("password_hashes_waiting", "Password hashes that wait for a core.", multiprocess_mode="livesum")


class HashingLimiter:
    """Runs at most `concurrency` hashes at once, and queues at most `queue` callers, over all processes of the host."""

    def __init__(self, folder: Path, concurrency: int, queue: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cores = [open_lock_file(folder / f"core-{index}") for index in range(concurrency)]
        self._slots = Slots(folder, concurrency + queue)
        self._jobs: dict[int, _Job] = {}
        self._unserved = set(range(concurrency))
        self._mutex = threading.Lock()
        self._delayed = threading.BoundedSemaphore(MAX_DELAYED_REJECTIONS)
        self._executor = ThreadPoolExecutor(concurrency, "hash", initializer=_lower_priority)

    def run(self, compute: Callable[..., T], *arguments: object) -> T:
        """Runs `compute` in the caller's context on a low-priority thread, and returns its result.

        Uses the caller's slot, or acquires one. Raises Overloaded if there is none.
        """
        held = _held.get()
        if held is None or held.limiter is not self:
            with self.slot():
                return self.run(compute, *arguments)
        _prepare_to_wait()
        job = _Job(Future(), partial(copy_context().run, compute, *arguments))
        with self._mutex:
            self._jobs[held.slot] = job
        try:
            hashes_waiting.inc()
            self._slots.start_waiting(held.slot)
            self._start_threads()
            return cast(T, job.future.result())
        finally:
            if self._jobs.pop(held.slot, None):  # an exception interrupted the wait
                hashes_waiting.dec()

    @contextmanager
    def slot(self, *, is_known: bool = False) -> Iterator[None]:
        """Holds one slot for all hashes of the block.

        `is_known` says that the account is known from the client's network; a few slots are reserved for these. Raises
        Overloaded if the client's network has its share of the slots, or all are taken.
        """
        index = self._slots.acquire(request_context.networks(request_context.current.get()), is_known=is_known)
        if index is None:
            self._reject()
        token = _held.set(_Held(self, index))
        try:
            yield
        finally:
            _held.reset(token)
            self._slots.release(index)

    def require_free_slot(self) -> None:
        """Raises Overloaded if not even a known account would get a slot from the client's network.

        Reserves nothing. It rejects a flood before the bodies of its requests are read.
        """
        if not self._slots.has_free_slot(request_context.networks(request_context.current.get()), is_known=True):
            hash_rejected.send(sender=None)
            self._reject()

    def is_full(self, networks: request_context.Networks | None) -> bool:
        """Returns whether require_free_slot() would reject a client of these networks. Waits for no lock."""
        return self._slots.is_full(networks, is_known=True)

    def _reject(self) -> NoReturn:
        """Raises Overloaded after a pause. Without it, clients that retry at once would take the cores from the hashes.
        At most MAX_DELAYED_REJECTIONS requests of a process pause at once; others are rejected without a pause."""
        _prepare_to_wait()
        if self._delayed.acquire(blocking=False):
            time.sleep(REJECTION_DELAY_SECONDS)
            self._delayed.release()
        raise Overloaded(retry_after=timedelta(seconds=2))

    def _start_threads(self) -> None:
        """Starts a thread for each core that has none. A running thread looks for another job before it ends."""
        with self._mutex:
            cores, self._unserved = self._unserved, set()
        for core in cores:
            self._executor.submit(self._serve, core)

    def _serve(self, core: int) -> None:
        """Computes jobs on one core until none of this process waits."""
        while self._has_job(core):
            self._wait_and_compute(core)

    def _has_job(self, core: int) -> bool:
        with self._mutex:
            if not self._jobs:
                self._unserved.add(core)
            return bool(self._jobs)

    def _wait_and_compute(self, core: int) -> None:
        """Waits until the core is free, and computes the next job if it is one of this process.

        Otherwise another process has the next one. Pauses, so that its thread gets the core.
        """
        fcntl.flock(self._cores[core], fcntl.LOCK_EX)
        try:
            index = self._slots.start_next()
            job = self._jobs.pop(index, None) if index is not None else None
            settle = _compute(job) if job else None
        finally:
            fcntl.flock(self._cores[core], fcntl.LOCK_UN)
        if settle:
            settle()  # after the release, so that the next job starts first
        else:
            time.sleep(PAUSE_SECONDS)


class _Held(NamedTuple):
    limiter: HashingLimiter
    slot: int


class _Job(NamedTuple):
    future: "Future[Any]"
    compute: Callable[[], Any]


_held: ContextVar[_Held | None] = ContextVar("slot", default=None)


def _compute(job: _Job) -> Callable[[], None]:
    """Computes the job. Returns a function that gives the result to the caller."""
    hashes_waiting.dec()
    try:
        return partial(job.future.set_result, job.compute())
    except BaseException as error:  # noqa: BLE001 - the caller handles it
        return partial(job.future.set_exception, error)


def _prepare_to_wait() -> None:
    """Tells the web server that this thread won't use the interpreter for a while, and returns the request's database
    connection to the pool, if there is one.
    """
    hash_awaited.send(sender=None)
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        connection.close()


def _lower_priority() -> None:
    """Lowers the priority of this thread. Only Linux has a nice value for each thread."""
    if hasattr(os, "setpriority"):
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@cache
def get_limiter() -> HashingLimiter:
    """Returns the limiter of this process."""
    return HashingLimiter(settings.DATA_DIR / "hashing", settings.LOGIN_CONCURRENCY, settings.LOGIN_QUEUE)


os.register_at_fork(after_in_child=get_limiter.cache_clear)
