"""The emails that the relay takes, their order, and what it gives to the broker."""

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
from notifications import outbox
from notifications.models import OutboxMail, Queue, State
from notifications.sending import publisher, relay
from notifications.sending.relay import Relay, sweep
from notifications.sending.worker_pool import CAPACITY_PER_THREAD, WorkerPool
from tests.notifications.conftest import Broker
from tests.notifications.mail_server import MailServer
from tests.notifications.proxy import Proxy
from tests.usermanager.processes import free_port

Enqueue = Callable[..., OutboxMail]

pytestmark = pytest.mark.usefixtures("fresh_publisher", "unhurried")


class Notes:
    """A pool that records the offered emails and delivers none."""

    def __init__(self, capacity: int = 100) -> None:
        self.capacity = capacity
        self.offered: list[UUID] = []

    def offer(self, mail_id: UUID) -> bool:
        if len(self.offered) < self.capacity:
            self.offered.append(mail_id)
            return True
        return False


def swept(*, capacity: int = 100) -> list[UUID]:
    """Returns the emails that a sweep offers to the pool."""
    notes = Notes(capacity)
    sweep(Queue.NOW, cast(WorkerPool, notes))
    return notes.offered


def handed(broker: Broker) -> list[str]:
    """Takes all messages from the broker; returns their email ids."""
    found = []
    while message := broker.take("mail.now.v1"):
        payload: Any = message.payload
        found.append(payload[0][0])
    return found


def overdue(mail: OutboxMail) -> OutboxMail:
    """Makes the email overdue: the broker got it, and no worker claimed it in time."""
    OutboxMail.objects.filter(pk=mail.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    return mail


def waiting() -> set[UUID]:
    """Returns the emails that any sender may claim."""
    return set(OutboxMail.objects.filter(state=State.PENDING, lease_until=None).values_list("pk", flat=True))


@pytest.fixture
def round_of() -> Iterator[Callable[[list[UUID]], dict[Queue, list[UUID]]]]:
    """Runs a round of a relay with notified emails; returns the emails offered to each pool."""
    running = Relay(threads=1)
    pools = running._pools

    def run(rung: list[UUID]) -> dict[Queue, list[UUID]]:
        notes = {queue: Notes() for queue in Queue}
        running._pools = cast(dict[Queue, WorkerPool], notes)
        running._round(rung)
        return {queue: note.offered for queue, note in notes.items()}

    yield run
    running._pools = pools
    running.stop()
    running.run()


def test_without_a_broker_the_pool_gets_due_emails_up_to_its_capacity(enqueue: Enqueue) -> None:
    mails = [enqueue() for _ in range(3)]
    later, bulk = enqueue(), enqueue(queue=Queue.BULK)
    OutboxMail.objects.filter(pk=later.pk).update(next_attempt_at=timezone.now() + timedelta(minutes=1))
    assert swept() == [mail.pk for mail in mails]
    assert swept(capacity=2) == [mail.pk for mail in mails[:2]]
    assert waiting() == {mail.pk for mail in (*mails, later, bulk)}


def test_while_the_broker_is_down_the_pool_gets_emails_up_to_its_capacity(enqueue: Enqueue, settings: Settings) -> None:
    mails = [enqueue() for _ in range(3)]
    settings.CELERY_BROKER_URL = f"amqp://127.0.0.1:{free_port()}//"
    assert swept() == [mail.pk for mail in mails]
    assert swept(capacity=2) == [mail.pk for mail in mails[:2]]
    assert waiting() == {mail.pk for mail in mails}


@pytest.mark.broker
def test_a_broker_without_consumers_gets_no_email(enqueue: Enqueue, broker: Broker) -> None:
    mail = enqueue()
    OutboxMail.objects.update(lease_until=None)
    assert swept() == [mail.pk]
    assert handed(broker) == []


@pytest.mark.broker
def test_the_broker_gets_new_emails_and_the_pool_overdue_ones(enqueue: Enqueue, broker: Broker) -> None:
    fresh, late = enqueue(), overdue(enqueue())
    OutboxMail.objects.filter(pk=fresh.pk).update(lease_until=None)
    publisher.free_capacity(Queue.NOW)  # makes the queue
    with broker.reader("mail.now.v1"):
        assert swept() == [late.pk]
        assert swept() == [late.pk], "handed over twice"
    assert handed(broker) == [str(fresh.pk)]
    lease = OutboxMail.objects.get(pk=fresh.pk).lease_until
    assert lease
    assert lease > timezone.now() + outbox.BROKER_LEASE / 2


@pytest.mark.broker
def test_a_broker_gets_no_more_emails_than_fit_its_queue(
    enqueue: Enqueue, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MAX_QUEUED", 2)
    mails = [enqueue() for _ in range(5)]
    OutboxMail.objects.update(lease_until=None)
    publisher.free_capacity(Queue.NOW)
    with broker.reader("mail.now.v1"):
        assert swept() == []
    assert waiting() == {mail.pk for mail in mails[2:]}
    assert handed(broker) == [str(mail.pk) for mail in mails[:2]]


@pytest.mark.broker
def test_emails_that_the_broker_does_not_take_go_to_the_pool(
    enqueue: Enqueue, broker: Broker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [enqueue() for _ in range(3)]
    OutboxMail.objects.update(lease_until=None)
    publish = publisher.publish

    def publish_and_cut(mail_id: UUID, queue: str) -> bool:
        is_taken = publish(mail_id, queue)
        proxy.cut()
        return is_taken

    monkeypatch.setattr(publisher, "publish", publish_and_cut)
    publisher.free_capacity(Queue.NOW)
    with broker.reader("mail.now.v1"):
        assert swept() == [mail.pk for mail in mails[1:]]
    assert waiting() == {mail.pk for mail in mails[1:]}
    assert handed(broker) == [str(mails[0].pk)]


def test_the_broker_is_not_used_if_all_emails_are_overdue(enqueue: Enqueue, settings: Settings) -> None:
    late = overdue(enqueue())
    settings.CELERY_BROKER_URL = f"amqp://127.0.0.1:{free_port()}//"
    assert swept() == [late.pk]
    assert not publisher._broken_until


def test_notified_emails_go_first(
    enqueue: Enqueue, data_dir: Path, round_of: Callable[[list[UUID]], dict[Queue, list[UUID]]]
) -> None:
    bulk, mail, rung = enqueue(queue=Queue.BULK), enqueue(), uuid4()
    assert round_of([rung]) == {Queue.NOW: [rung, mail.pk], Queue.BULK: [bulk.pk]}


@pytest.mark.django_db
def test_the_relay_survives_a_database_error(
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
def test_a_reset_overtakes_bulk_emails(data_dir: Path, mail_server: MailServer) -> None:
    ana = users.create("ana@example.com", actor=None)
    ana.set_password("correct horse battery staple")
    ana.save()
    OutboxMail.objects.all().delete()
    for _ in range(30):
        outbox.enqueue("already_registered", email=ana.email, user=ana, queue=Queue.BULK)
    mail_server.delay_seconds = 0.03
    running = Relay(threads=1)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        mail_server.wait_for(1)
        reset = outbox.enqueue("password_reset", email=ana.email)
        publisher.dispatch(reset.pk, reset.queue)
        mail_server.wait_for(31)
    finally:
        running.stop()
        thread.join()
    order = [mail["X-Entity-Ref-ID"] for mail in mail_server.mails]
    assert order.index(str(reset.pk)) < CAPACITY_PER_THREAD - 2, "it stood in line with those in the hands of a pool"


@pytest.mark.django_db
def test_the_relay_ends_expired_suspensions(
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
