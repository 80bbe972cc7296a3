"""The limiter runs a few hashes at once, queues some callers, and rejects the others with a Retry-After."""

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

from accounts.errors import Overloaded
from accounts.hashing import limiter
from accounts.hashing.limiter import NICENESS, HashingLimiter
from accounts.hashing.slots import open_lock_file, try_lock
from tests.usermanager.processes import PROJECT, eventually


class Jobs:
    """Jobs that run until they are released. Counts how many run."""

    def __init__(self) -> None:
        self.running = threading.Semaphore(0)
        self.go = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, hashing: HashingLimiter, number: int = 1) -> None:
        for _number in range(number):
            thread = threading.Thread(target=hashing.run, args=(self._job,))
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


def test_returns_the_result_and_raises_the_error_of_the_job(tmp_path: Path) -> None:
    hashing = HashingLimiter(tmp_path, 1, 0)
    assert hashing.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        hashing.run(divmod, 7, 0)
    assert hashing.run(divmod, 7, 2) == (3, 1)


def test_runs_some_queues_some_and_rejects_the_next_one_at_once(jobs: Jobs, tmp_path: Path) -> None:
    hashing = HashingLimiter(tmp_path, 2, 1)
    jobs.start(hashing, 2)
    assert all(jobs.running.acquire(timeout=30) for _number in range(2))
    assert not jobs.running.acquire(blocking=False)
    jobs.start(hashing)
    eventually(lambda: not has_free_slot(hashing))
    with pytest.raises(Overloaded) as raised:
        hashing.run(lambda: None)
    assert raised.value.retry_after == timedelta(seconds=2)
    assert not jobs.running.acquire(blocking=False)
    jobs.finish()
    assert jobs.running.acquire(timeout=30)
    assert hashing.run(lambda: "in") == "in"


def test_computes_on_threads_of_low_priority_of_its_own(tmp_path: Path) -> None:
    def where() -> tuple[int, int]:
        return threading.get_ident(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread, niceness = HashingLimiter(tmp_path, 1, 0).run(where)
    assert thread != threading.get_ident()
    assert niceness == max(before, NICENESS)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_a_process_has_one_limiter_of_the_configured_size(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.LOGIN_CONCURRENCY, settings.LOGIN_QUEUE = tmp_path, 1, 1
    hashing = limiter.get_limiter.__wrapped__()  # past the cache: other tests use the process's own limiter
    with hashing.slot(), hashing.slot():
        assert not has_free_slot(hashing)
    assert limiter.get_limiter() is limiter.get_limiter()


def test_processes_share_the_slots_and_a_killed_process_frees_its_own(tmp_path: Path) -> None:
    here = HashingLimiter(tmp_path, 1, 1)
    other: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE
    )
    assert other.stdout
    try:
        assert other.stdout.readline() == b"hashing\n"
        with here.slot():
            assert not has_free_slot(here)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(here.run, lambda: "mine")
            with pytest.raises(TimeoutError):
                waiting.result(0.2)  # the other process has the only core
            other.kill()
            assert waiting.result(10) == "mine"
        assert has_free_slot(here)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def test_a_caller_waits_for_a_core_without_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashing, pauses = HashingLimiter(tmp_path, 1, 1), threading.Event()
    monkeypatch.setattr("time.sleep", lambda _seconds: pauses.set())
    core = open_lock_file(tmp_path / "core-0")
    assert try_lock(core)
    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(hashing.run, lambda: "mine")
        has_paused = pauses.wait(0.2)
        is_done = caller.done()
        os.close(core)
        assert caller.result(10) == "mine"
    assert (has_paused, is_done) == (False, False)


def has_free_slot(hashing: HashingLimiter) -> bool:
    try:
        with hashing.slot():
            return True
    except Overloaded:
        return False


# Hashes until it is killed.
OTHER = """
import sys, time
from pathlib import Path
from accounts.hashing.limiter import HashingLimiter

def hash_for_ever():
    print("hashing", flush=True)
    time.sleep(60)

HashingLimiter(Path(sys.argv[1]), 1, 1).run(hash_for_ever)
"""


def test_waiting_callers_are_counted(tmp_path: Path) -> None:
    hashing, begun, may_end = HashingLimiter(tmp_path, 1, 5), threading.Event(), threading.Event()

    def compute() -> None:
        begun.set()
        may_end.wait(20)

    before = waiting()
    with ThreadPoolExecutor(3) as clients:
        clients.submit(hashing.run, compute)
        assert begun.wait(20)
        assert waiting() == before
        for _ in range(2):
            clients.submit(hashing.run, int)
        eventually(lambda: waiting() == before + 2)
        may_end.set()
    assert waiting() == before


def waiting() -> float:
    return REGISTRY.get_sample_value("password_hashes_waiting") or 0.0
