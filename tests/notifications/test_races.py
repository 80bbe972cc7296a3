"""Concurrent senders on a real database: each email has a single sender."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone

from accounts import one_time_tokens, users
from accounts.models import OneTimeToken, User
from notifications import outbox
from notifications.content.composing import Obsolete
from notifications.models import DeliveryHold, OutboxMail, Queue, State
from notifications.sending import delivery, hold, smtp
from tests.notifications.mail_server import MailServer

SENDERS = 8
EMAILS = 20
T = TypeVar("T")


def at_once(do: Callable[[], T], *others: Callable[[], T]) -> list[T]:
    """Starts all threads together; returns their results."""
    barrier = threading.Barrier(SENDERS, timeout=60)

    def run(action: Callable[[], T]) -> T:
        barrier.wait()
        try:
            return action()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(SENDERS) as pool:
        return list(pool.map(run, [*others, *[do] * (SENDERS - len(others))]))


def enqueue(number: int = EMAILS) -> list[UUID]:
    return [outbox.enqueue("already_registered", email=f"user{count}@example.com").pk for count in range(number)]


@pytest.mark.usefixtures("database")
def test_each_email_is_claimed_once() -> None:
    ids = enqueue()
    claimed = at_once(lambda: [mail_id for mail_id in ids if outbox.claim(mail_id)])
    assert Counter(mail_id for some in claimed for mail_id in some) == dict.fromkeys(ids, 1)
    assert set(OutboxMail.objects.values_list("attempts", flat=True)) == {1}


@pytest.mark.usefixtures("database")
def test_an_email_of_a_dead_sender_is_claimed_once() -> None:
    ids = enqueue()
    for mail_id in ids:
        assert outbox.claim(mail_id)
    OutboxMail.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    claimed = at_once(lambda: [mail_id for mail_id in ids if outbox.claim(mail_id)])
    assert Counter(mail_id for some in claimed for mail_id in some) == dict.fromkeys(ids, 1)
    assert set(OutboxMail.objects.values_list("attempts", flat=True)) == {2}


@pytest.mark.usefixtures("database")
def test_each_email_is_leased_to_the_broker_once() -> None:
    ids = enqueue()
    handed = at_once(lambda: outbox.lease_to_broker(outbox.due(Queue.NOW, EMAILS)))
    assert Counter(due.id for some in handed for due in some) == dict.fromkeys(ids, 1)


@pytest.mark.usefixtures("database")
def test_a_concurrent_suspension_leaves_no_working_link() -> None:
    """In either order: the suspension ends the link, or the email is obsolete."""
    for round_number in range(5):
        user = users.create(f"ana{round_number}@example.com", actor=None)
        user.set_password("correct horse battery staple")
        user.save()
        claimed = outbox.claim(outbox.enqueue("password_reset", email=user.email).pk)
        assert claimed
        at_once(lambda: None, lambda: _compose(claimed), lambda: _suspend(user))  # noqa: B023 - they run in the round
        living = OneTimeToken.objects.filter(user=user, purpose=one_time_tokens.Purpose.PASSWORD_RESET, ended_at=None)
        assert not living.exists()
        assert OutboxMail.objects.get(pk=claimed.pk).state == State.CANCELLED


@pytest.mark.usefixtures("database")
def test_rejected_senders_hold_the_queue_together_and_one_of_them_probes(
    mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    ana = users.create("ana@example.com", actor=None, password="correct horse battery staple")
    OutboxMail.objects.all().delete()
    for _ in range(3):
        ids = [outbox.enqueue("already_registered", email=ana.email).pk for _ in range(EMAILS)]
        shares = [partial(_deliver, ids[place::SENDERS]) for place in range(SENDERS)]
        mail_server.answers["MAIL"] = "553 5.1.8 sender domain not found"
        caplog.clear()
        at_once(shares[0], *shares[1:])
        assert [record.levelname for record in caplog.records if "rejects this" in record.message] == ["ERROR"]
        assert set(OutboxMail.objects.filter(pk__in=ids).values_list("state", "attempts")) == {(State.PENDING, 0)}
        _deliver([_chosen_by_one().pk])  # refused again
        assert DeliveryHold.objects.get().rejections == 2
        DeliveryHold.objects.update(next_probe_at=timezone.now())
        probe = _chosen_by_one()
        mail_server.answers.clear()
        at_once(shares[0], *shares[1:])
        assert hold.current() is None
        assert OutboxMail.objects.get(pk=probe.pk).state == State.SENT
        OutboxMail.objects.update(next_attempt_at=timezone.now())
        at_once(shares[0], *shares[1:])
        assert set(OutboxMail.objects.filter(pk__in=ids).values_list("state", flat=True)) == {State.SENT}
    assert set(mail_server.ids().values()) == {1}


def _chosen_by_one() -> OutboxMail:
    held = DeliveryHold.objects.get()
    [probe] = [chosen for chosen in at_once(lambda: hold.choose_probe(held)) if chosen]
    return probe


def _deliver(ids: list[UUID]) -> None:
    for mail_id in ids:
        delivery.deliver(mail_id)
    smtp.disconnect()


def _compose(mail: OutboxMail) -> None:
    try:
        delivery.compose_with_token(mail)
    except Obsolete:
        return


def _suspend(user: User) -> None:
    users.suspend(user, actor=None)
