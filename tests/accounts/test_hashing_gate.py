"""So many hashes at once, so many waiting, and whoever comes then is told to come again."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pytest_django import Settings

from accounts import hashing_gate
from accounts.errors import Overloaded
from accounts.hashing_gate import NICENESS, HashingGate
from tests.usermanager.processes import PROJECT, eventually


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


def test_returns_what_was_computed_and_passes_on_what_went_wrong(tmp_path: Path) -> None:
    gate = HashingGate(tmp_path, 1, 0)
    assert gate.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        gate.run(divmod, 7, 0)
    assert gate.run(divmod, 7, 2) == (3, 1)


def test_so_many_run_so_many_wait_and_the_next_one_is_refused_at_once(jobs: Jobs, tmp_path: Path) -> None:
    gate = HashingGate(tmp_path, 2, 1)
    jobs.start(gate, 2)
    assert all(jobs.running.acquire(timeout=30) for _number in range(2))
    assert not jobs.running.acquire(blocking=False)
    jobs.start(gate)
    eventually(lambda: not has_room(gate))
    with pytest.raises(Overloaded) as refusal:
        gate.run(lambda: None)
    assert refusal.value.retry_after == timedelta(seconds=2)
    assert not jobs.running.acquire(blocking=False)
    jobs.finish()
    assert jobs.running.acquire(timeout=30)
    assert gate.run(lambda: "in") == "in"


def test_computes_on_threads_of_low_priority_of_its_own(tmp_path: Path) -> None:
    def where() -> tuple[int, int]:
        return threading.get_ident(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread, niceness = HashingGate(tmp_path, 1, 0).run(where)
    assert thread != threading.get_ident()
    assert niceness == max(before, NICENESS)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_a_process_has_one_gate_of_the_size_that_is_set(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.LOGIN_CONCURRENCY, settings.LOGIN_QUEUE = tmp_path, 1, 1
    hashing_gate.gate.cache_clear()
    gate = hashing_gate.gate()
    assert hashing_gate.gate() is gate
    with gate.place(), gate.place():
        assert not has_room(gate)
    hashing_gate.gate.cache_clear()


def test_processes_share_the_places_and_whoever_dies_leaves_theirs(tmp_path: Path) -> None:
    here = HashingGate(tmp_path, 1, 1)
    other: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE
    )
    assert other.stdout
    try:
        assert other.stdout.readline() == b"hashing\n"
        with here.place():
            assert not has_room(here)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(here.run, lambda: "mine")
            with pytest.raises(TimeoutError):
                waiting.result(0.2)  # the only core is the other's
            other.kill()
            assert waiting.result(10) == "mine"
        assert has_room(here)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def has_room(gate: HashingGate) -> bool:
    try:
        with gate.place():
            return True
    except Overloaded:
        return False


# Hashes until it is killed.
OTHER = """
import sys, time
from pathlib import Path
from accounts.hashing_gate import HashingGate

def hash_for_ever():
    print("hashing", flush=True)
    time.sleep(60)

HashingGate(Path(sys.argv[1]), 1, 1).run(hash_for_ever)
"""


def test_whoever_waits_for_a_core_is_counted(tmp_path: Path) -> None:
    gate, begun, may_end = HashingGate(tmp_path, 1, 5), threading.Event(), threading.Event()

    def compute() -> None:
        begun.set()
        may_end.wait(20)

    before = waiting()
    with ThreadPoolExecutor(3) as clients:
        clients.submit(gate.run, compute)
        assert begun.wait(20)
        assert waiting() == before
        for _ in range(2):
            clients.submit(gate.run, int)
        eventually(lambda: waiting() == before + 2)
        may_end.set()
    assert waiting() == before


def waiting() -> float:
    return REGISTRY.get_sample_value("password_hashes_waiting") or 0.0
