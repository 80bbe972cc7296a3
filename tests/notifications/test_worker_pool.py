"""Worker pools and housekeeping of the relay."""

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from notifications import housekeeping
from notifications.housekeeping import Housekeeper
from notifications.sending import delivery, smtp
from notifications.sending.worker_pool import WorkerPool
from tests.usermanager.processes import eventually


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[UUID]]:
    """The emails that are being sent; each takes until the end of the test."""
    begun: list[UUID] = []
    is_over = threading.Event()

    def deliver(mail_id: UUID) -> None:
        begun.append(mail_id)
        is_over.wait(20)

    monkeypatch.setattr(delivery, "deliver", deliver)
    yield begun
    is_over.set()


def test_a_pool_accepts_emails_up_to_its_capacity_and_each_once(held: list[UUID]) -> None:
    pool = WorkerPool(1, on_half_free=lambda: None)
    ids = [uuid4() for _ in range(pool.capacity)]
    assert all(pool.offer(mail_id) for mail_id in ids)
    assert not pool.offer(uuid4())
    assert pool.offer(ids[-1])
    eventually(lambda: held == ids[:1])
    pool.shut_down()


def test_a_pool_that_shuts_down_finishes_its_email_and_begins_none(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[UUID] = []
    may_end = threading.Event()

    def deliver(mail_id: UUID) -> None:
        begun.append(mail_id)
        may_end.wait(20)

    monkeypatch.setattr(delivery, "deliver", deliver)
    pool = WorkerPool(1, on_half_free=lambda: None)
    first, second = uuid4(), uuid4()
    pool.offer(first)
    pool.offer(second)
    eventually(lambda: begun)
    pool.shut_down()
    may_end.set()
    pool.wait()
    assert begun == [first]


def test_each_thread_of_a_pool_runs_from_the_start_and_closes_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[threading.Thread] = []
    monkeypatch.setattr(smtp, "disconnect", lambda: closed.append(threading.current_thread()))
    others = set(threading.enumerate())
    pool = WorkerPool(3, on_half_free=lambda: None)
    threads = set(threading.enumerate()) - others
    pool.shut_down()
    pool.wait()
    assert len(threads) == len(closed) == 3
    assert set(closed) == threads


def test_failed_housekeeping_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def prune(name: str, **_options: object) -> None:
        done.append(name)
        if len(done) == 1:
            raise RuntimeError("the disk is full")

    monkeypatch.setattr(housekeeping, "call_command", prune)
    monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 0.01)
    housekeeper = Housekeeper()
    eventually(lambda: done[:2] == ["prune", "prune"])
    housekeeper.shut_down()
    eventually(lambda: not housekeeper.is_running)
