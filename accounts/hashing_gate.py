"""Computes password hashes on a few threads of low priority, and lets only so many requests wait for one.

A hash takes a quarter of a second of a whole core and frees the interpreter meanwhile: sixty sign-ins at once would
make every other request wait for seconds. The threads are made at the first use, which is after gunicorn's fork.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import TypeVar

from django.conf import settings

from accounts.errors import Overloaded

NICENESS = 10
T = TypeVar("T")


class HashingGate:
    """At most `concurrency` hashes at once in this process, at most `queue` callers waiting for their turn."""

    def __init__(self, concurrency: int, queue: int) -> None:
        self._places = threading.BoundedSemaphore(concurrency + queue)
        self._executor = ThreadPoolExecutor(concurrency, "hash", initializer=_lower_priority)

    def run(self, compute: Callable[..., T], *arguments: object) -> T:
        """What `compute` returns. Raises Overloaded at once when nobody else may wait."""
        if not self._places.acquire(blocking=False):
            raise Overloaded(retry_after=timedelta(seconds=2))
        try:
            return self._executor.submit(compute, *arguments).result()
        finally:
            self._places.release()


def _lower_priority() -> None:
    """Linux gives each thread its own nice value; elsewhere the scheduler must cope."""
    if hasattr(os, "setpriority"):
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _share(total: int) -> int:
    """This process's part of a number that holds for the host."""
    return max(1, total // max(1, settings.WEB_WORKERS))


@cache
def gate() -> HashingGate:
    """The gate of this process."""
    return HashingGate(_share(settings.LOGIN_CONCURRENCY), _share(settings.LOGIN_QUEUE))


os.register_at_fork(after_in_child=gate.cache_clear)
