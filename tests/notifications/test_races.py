"""Many senders at once on a real database: each mail is one's alone."""

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

from accounts import tokens, users
from accounts.models import OneTimeToken, User
from notifications import delivery, hold, mail_server, mails, outbox
from notifications.mails import NotWanted
from notifications.models import DeliveryHold, OutboxMail, Queue, State
from tests.notifications.post import Post

SENDERS = 8
MAILS = 20
T = TypeVar("T")


def at_once(do: Callable[[], T], *others: Callable[[], T]) -> list[T]:
    """What each thread returns that does it, all starting together."""
    barrier = threading.Barrier(SENDERS)

    def run(deed: Callable[[], T]) -> T:
        barrier.wait()
        try:
            return deed()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(SENDERS) as pool:
        return list(pool.map(run, [*others, *[do] * (SENDERS - len(others))]))


def owe(number: int = MAILS) -> list[UUID]:
    return [outbox.put("already_registered", email=f"user{count}@example.com").pk for count in range(number)]


@pytest.mark.usefixtures("database")
def test_each_mail_is_claimed_by_one() -> None:
    ids = owe()
    claimed = at_once(lambda: [mail_id for mail_id in ids if outbox.claim(mail_id)])
    assert Counter(mail_id for some in claimed for mail_id in some) == dict.fromkeys(ids, 1)
    assert set(OutboxMail.objects.values_list("attempts", flat=True)) == {1}


@pytest.mark.usefixtures("database")
def test_what_a_dead_sender_left_is_taken_over_by_one() -> None:
    ids = owe()
    for mail_id in ids:
        assert outbox.claim(mail_id)
    OutboxMail.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    claimed = at_once(lambda: [mail_id for mail_id in ids if outbox.claim(mail_id)])
    assert Counter(mail_id for some in claimed for mail_id in some) == dict.fromkeys(ids, 1)
    assert set(OutboxMail.objects.values_list("attempts", flat=True)) == {2}


@pytest.mark.usefixtures("database")
def test_each_mail_is_handed_to_the_broker_by_one_relay() -> None:
    ids = owe()
    handed = at_once(lambda: outbox.hand_over(outbox.due(Queue.NOW, MAILS)))
    assert Counter(due.id for some in handed for due in some) == dict.fromkeys(ids, 1)


@pytest.mark.usefixtures("database")
def test_a_suspension_and_a_mail_on_its_way_leave_no_link_that_works() -> None:
    """Whichever comes first: the suspension ends the link, or the mail is not wanted any more."""
    for round_number in range(5):
        user = users.create(f"ana{round_number}@example.com", actor=None)
        user.set_password("correct horse battery staple")
        user.save()
        claimed = outbox.claim(outbox.put("password_reset", email=user.email).pk)
        assert claimed
        at_once(lambda: None, lambda: _compose(claimed), lambda: _suspend(user))  # noqa: B023 - they run in the round
        living = OneTimeToken.objects.filter(user=user, purpose=tokens.Purpose.PASSWORD_RESET, ended_at=None)
        assert not living.exists()
        assert OutboxMail.objects.get(pk=claimed.pk).state == State.CANCELLED


@pytest.mark.usefixtures("database")
def test_senders_whom_the_mail_server_refuses_hold_the_queue_together_and_one_of_them_probes(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    ana = users.create("ana@example.com", actor=None, password="correct horse battery staple")
    OutboxMail.objects.all().delete()
    for _ in range(3):
        ids = [outbox.put("already_registered", email=ana.email).pk for _ in range(MAILS)]
        shares = [partial(_deliver, ids[place::SENDERS]) for place in range(SENDERS)]
        post.answers["MAIL"] = "553 5.1.8 sender domain not found"
        caplog.clear()
        at_once(shares[0], *shares[1:])
        assert [record.levelname for record in caplog.records if "refuses this" in record.message] == ["ERROR"]
        assert set(OutboxMail.objects.filter(pk__in=ids).values_list("state", "attempts")) == {(State.OWED, 0)}
        _deliver([_chosen_by_one().pk])  # refused again
        assert DeliveryHold.objects.get().refusals == 2
        DeliveryHold.objects.update(next_probe_at=timezone.now())
        probe = _chosen_by_one()
        post.answers.clear()
        at_once(shares[0], *shares[1:])
        assert hold.current() is None
        assert OutboxMail.objects.get(pk=probe.pk).state == State.SENT
        OutboxMail.objects.update(next_attempt_at=timezone.now())
        at_once(shares[0], *shares[1:])
        assert set(OutboxMail.objects.filter(pk__in=ids).values_list("state", flat=True)) == {State.SENT}
    assert set(post.ids().values()) == {1}


def _chosen_by_one() -> OutboxMail:
    held = DeliveryHold.objects.get()
    [probe] = [chosen for chosen in at_once(lambda: hold.choose_probe(held)) if chosen]
    return probe


def _deliver(ids: list[UUID]) -> None:
    for mail_id in ids:
        delivery.deliver(mail_id)
    mail_server.hang_up()


def _compose(mail: OutboxMail) -> None:
    try:
        mails.compose(mail)
    except NotWanted:
        return


def _suspend(user: User) -> None:
    users.suspend(user, actor=None)
