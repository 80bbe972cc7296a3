"""So many hashes at once, so many waiting, and whoever comes then is told to come again."""

import os
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django import Settings

from accounts import hashing_gate
from accounts.errors import Overloaded
from accounts.hashing_gate import NICENESS, HashingGate


class Jobs:
    """Jobs that last until they are let go, and how many run."""

    def __init__(self) -> None:
        self.running = threading.Semaphore(0)
        self.go = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, gate: HashingGate, number: int = 1) -> None:
        for _number in range(number):
            thread = threading.Thread(target=gate.run, args=(self._job,))
            thread.start()
            self._threads.append(thread)

    def _job(self) -> None:
        self.running.release()
        assert self.go.wait(30)

    def finish(self) -> None:
        self.go.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    yield jobs
    jobs.finish()


def test_returns_what_was_computed_and_passes_on_what_went_wrong() -> None:
    gate = HashingGate(1, 0)
    assert gate.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        gate.run(divmod, 7, 0)
    assert gate.run(divmod, 7, 2) == (3, 1)


def test_so_many_run_so_many_wait_and_the_next_one_is_refused_at_once(jobs: Jobs) -> None:
    gate = HashingGate(2, 1)
    jobs.start(gate, 2)
    assert all(jobs.running.acquire(timeout=30) for _number in range(2))
    assert not jobs.running.acquire(blocking=False)
    jobs.start(gate)
    while gate._places._value:  # the third has not asked yet
        pass
    with pytest.raises(Overloaded) as refusal:
        gate.run(lambda: None)
    assert refusal.value.retry_after == timedelta(seconds=2)
    assert not jobs.running.acquire(blocking=False)
    jobs.finish()
    assert jobs.running.acquire(timeout=30)
    assert gate.run(lambda: "in") == "in"


def test_computes_on_threads_of_low_priority_of_its_own() -> None:
    def where() -> tuple[int, int]:
        return threading.get_ident(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread, niceness = HashingGate(1, 0).run(where)
    assert thread != threading.get_ident()
    assert niceness == max(before, NICENESS)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_the_places_of_the_host_are_shared_by_its_processes(settings: Settings) -> None:
    settings.WEB_WORKERS, settings.LOGIN_CONCURRENCY, settings.LOGIN_QUEUE = 4, 8, 34
    hashing_gate.gate.cache_clear()
    gate = hashing_gate.gate()
    assert gate._executor._max_workers == 2
    assert gate._places._value == 2 + 8
    assert hashing_gate.gate() is gate
    hashing_gate.gate.cache_clear()


def test_a_process_always_has_a_place(settings: Settings) -> None:
    settings.WEB_WORKERS, settings.LOGIN_CONCURRENCY = 4, 2
    hashing_gate.gate.cache_clear()
    assert hashing_gate.gate()._executor._max_workers == 1
    hashing_gate.gate.cache_clear()
