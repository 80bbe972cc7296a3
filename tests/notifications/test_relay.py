"""What the relay takes up, in which order, and what of it the broker gets."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from accounts import users
from accounts.models import User
from accounts.signals import time_passed
from notifications import outbox, publisher, relay
from notifications.crew import PLACES_PER_THREAD, Crew
from notifications.models import OutboxMail, Queue, State
from notifications.relay import Relay, sweep
from tests.notifications.conftest import Broker
from tests.notifications.post import Post
from tests.notifications.proxy import Proxy
from tests.usermanager.processes import free_port

Owe = Callable[..., OutboxMail]

pytestmark = pytest.mark.usefixtures("fresh_publisher", "unhurried")


class Notes:
    """A crew that does nothing but write down what it is offered."""

    def __init__(self, places: int = 100) -> None:
        self.places = places
        self.offered: list[UUID] = []

    def offer(self, mail_id: UUID) -> bool:
        if len(self.offered) < self.places:
            self.offered.append(mail_id)
            return True
        return False


def swept(*, places: int = 100) -> list[UUID]:
    """What a sweep leaves to the crew."""
    notes = Notes(places)
    sweep(Queue.NOW, cast(Crew, notes))
    return notes.offered


def handed(broker: Broker) -> list[str]:
    """What the broker has."""
    found = []
    while message := broker.take("mail.now.v1"):
        payload: Any = message.payload
        found.append(payload[0][0])
    return found


def overdue(mail: OutboxMail) -> OutboxMail:
    """As if the broker had been trusted with it, and no worker had come."""
    OutboxMail.objects.filter(pk=mail.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    return mail


def waiting() -> set[UUID]:
    """The mails that anybody may take up."""
    return set(OutboxMail.objects.filter(state=State.OWED, lease_until=None).values_list("pk", flat=True))


@pytest.fixture
def round_of() -> Iterator[Callable[[list[UUID]], dict[Queue, list[UUID]]]]:
    """What the crews are offered in one round of a relay for which somebody rang."""
    running = Relay(threads=1)
    crews = running._crews

    def run(rung: list[UUID]) -> dict[Queue, list[UUID]]:
        notes = {queue: Notes() for queue in Queue}
        running._crews = cast(dict[Queue, Crew], notes)
        running._round(rung)
        return {queue: note.offered for queue, note in notes.items()}

    yield run
    running._crews = crews
    running.stop()
    running.run()


def test_without_a_broker_the_crew_gets_what_is_due_and_no_more_than_it_has_places_for(owe: Owe) -> None:
    mails = [owe() for _ in range(3)]
    later, bulk = owe(), owe(queue=Queue.BULK)
    OutboxMail.objects.filter(pk=later.pk).update(next_attempt_at=timezone.now() + timedelta(minutes=1))
    assert swept() == [mail.pk for mail in mails]
    assert swept(places=2) == [mail.pk for mail in mails[:2]]
    assert waiting() == {mail.pk for mail in (*mails, later, bulk)}


def test_a_broker_that_is_away_leaves_all_to_the_crew_until_that_is_full(owe: Owe, settings: Settings) -> None:
    mails = [owe() for _ in range(3)]
    settings.CELERY_BROKER_URL = f"amqp://127.0.0.1:{free_port()}//"
    assert swept() == [mail.pk for mail in mails]
    assert swept(places=2) == [mail.pk for mail in mails[:2]]
    assert waiting() == {mail.pk for mail in mails}


@pytest.mark.broker
def test_a_broker_that_nobody_reads_from_gets_nothing(owe: Owe, broker: Broker) -> None:
    mail = owe()
    OutboxMail.objects.update(lease_until=None)
    assert swept() == [mail.pk]
    assert handed(broker) == []


@pytest.mark.broker
def test_a_broker_with_a_worker_gets_what_is_fresh_and_the_crew_what_is_overdue(owe: Owe, broker: Broker) -> None:
    fresh, late = owe(), overdue(owe())
    OutboxMail.objects.filter(pk=fresh.pk).update(lease_until=None)
    publisher.room(Queue.NOW)  # makes the queue
    with broker.reader("mail.now.v1"):
        assert swept() == [late.pk]
        assert swept() == [late.pk], "handed over twice"
    assert handed(broker) == [str(fresh.pk)]
    lease = OutboxMail.objects.get(pk=fresh.pk).lease_until
    assert lease
    assert lease > timezone.now() + outbox.HANDED_OVER / 2


@pytest.mark.broker
def test_a_broker_gets_no_more_than_it_has_room_for(owe: Owe, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MOST_WAITING", 2)
    mails = [owe() for _ in range(5)]
    OutboxMail.objects.update(lease_until=None)
    publisher.room(Queue.NOW)
    with broker.reader("mail.now.v1"):
        assert swept() == []
    assert waiting() == {mail.pk for mail in mails[2:]}
    assert handed(broker) == [str(mail.pk) for mail in mails[:2]]


@pytest.mark.broker
def test_what_a_broker_does_not_take_after_all_comes_back(
    owe: Owe, broker: Broker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [owe() for _ in range(3)]
    OutboxMail.objects.update(lease_until=None)
    publish = publisher.publish

    def publish_and_cut(mail_id: UUID, queue: str) -> bool:
        is_taken = publish(mail_id, queue)
        proxy.cut()
        return is_taken

    monkeypatch.setattr(publisher, "publish", publish_and_cut)
    publisher.room(Queue.NOW)
    with broker.reader("mail.now.v1"):
        assert swept() == [mail.pk for mail in mails[1:]]
    assert waiting() == {mail.pk for mail in mails[1:]}
    assert handed(broker) == [str(mails[0].pk)]


def test_a_broker_is_not_asked_where_all_is_overdue(owe: Owe, settings: Settings) -> None:
    late = overdue(owe())
    settings.CELERY_BROKER_URL = f"amqp://127.0.0.1:{free_port()}//"
    assert swept() == [late.pk]
    assert not publisher._broken_until


def test_who_rang_goes_first(
    owe: Owe, data_dir: Path, round_of: Callable[[list[UUID]], dict[Queue, list[UUID]]]
) -> None:
    bulk, mail, rung = owe(queue=Queue.BULK), owe(), uuid4()
    assert round_of([rung]) == {Queue.NOW: [rung, mail.pk], Queue.BULK: [bulk.pk]}


@pytest.mark.django_db
def test_a_database_that_fails_ends_no_relay(
    data_dir: Path,
    round_of: Callable[[list[UUID]], dict[Queue, list[UUID]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: object) -> None:
        raise OperationalError("the disk is gone")

    monkeypatch.setattr(relay, "ROUND_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "due", fail)
    rung = uuid4()
    assert round_of([rung])[Queue.NOW] == [rung]


@pytest.mark.usefixtures("sqlite")
def test_a_reset_overtakes_what_goes_to_many(data_dir: Path, post: Post) -> None:
    ana = users.create("ana@example.com", actor=None)
    ana.set_password("correct horse battery staple")
    ana.save()
    OutboxMail.objects.all().delete()
    for _ in range(30):
        outbox.put("already_registered", email=ana.email, user=ana, queue=Queue.BULK)
    post.delay_seconds = 0.03
    running = Relay(threads=1)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        post.wait_for(1)
        reset = outbox.put("password_reset", email=ana.email)
        publisher.dispatch(reset.pk, reset.queue)
        post.wait_for(31)
    finally:
        running.stop()
        thread.join()
    order = [mail["X-Entity-Ref-ID"] for mail in post.mails]
    assert order.index(str(reset.pk)) < PLACES_PER_THREAD - 2, "it stood in line with those in the hands of a crew"


@pytest.mark.django_db
def test_lets_in_again_whose_suspension_is_over(
    person: Callable[..., User], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "ROUND_SECONDS", 0.01)
    ana = person("ana", is_active=False, suspended_until=timezone.now() - timedelta(seconds=1))
    running = Relay(threads=1)

    def stop(**_arguments: Any) -> None:
        running.stop()

    time_passed.connect(stop)
    try:
        running.run()
    finally:
        time_passed.disconnect(stop)
    ana.refresh_from_db()
    assert ana.is_active
