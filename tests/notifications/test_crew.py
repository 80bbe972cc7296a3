"""The relay's own ways: crews that do not wait for each other, and housekeeping that nobody waits for."""

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from notifications import delivery, housekeeping
from notifications.crew import Crew
from notifications.housekeeping import Housekeeper
from tests.usermanager.processes import eventually


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[UUID]]:
    """The mails that are being sent, each of which takes until the end of the test."""
    begun: list[UUID] = []
    is_over = threading.Event()

    def deliver(mail_id: UUID) -> None:
        begun.append(mail_id)
        is_over.wait(20)

    monkeypatch.setattr(delivery, "deliver", deliver)
    yield begun
    is_over.set()


def test_a_crew_takes_no_more_than_it_has_places_for_and_each_mail_once(held: list[UUID]) -> None:
    crew = Crew(1, on_room=lambda: None)
    ids = [uuid4() for _ in range(crew.places)]
    assert all(crew.offer(mail_id) for mail_id in ids)
    assert not crew.offer(uuid4())
    assert crew.offer(ids[-1])
    eventually(lambda: held == ids[:1])
    crew.dismiss()


def test_a_crew_that_is_dismissed_ends_what_it_is_doing_and_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[UUID] = []
    may_end = threading.Event()

    def deliver(mail_id: UUID) -> None:
        begun.append(mail_id)
        may_end.wait(20)

    monkeypatch.setattr(delivery, "deliver", deliver)
    crew = Crew(1, on_room=lambda: None)
    first, second = uuid4(), uuid4()
    crew.offer(first)
    crew.offer(second)
    eventually(lambda: begun)
    crew.dismiss()
    may_end.set()
    crew.wait()
    assert begun == [first]


def test_housekeeping_that_fails_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def prune(name: str, **_options: object) -> None:
        done.append(name)
        if len(done) == 1:
            raise RuntimeError("the disk is full")

    monkeypatch.setattr(housekeeping, "call_command", prune)
    monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 0.01)
    housekeeper = Housekeeper()
    eventually(lambda: done[:2] == ["prune", "prune"])
    housekeeper.dismiss()
    eventually(lambda: not housekeeper.is_at_work)
