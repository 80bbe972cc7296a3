"""Many senders at once on a real database: each mail is one's alone."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone

from accounts import tokens, users
from accounts.models import OneTimeToken, User
from notifications import mails, outbox
from notifications.mails import NotWanted
from notifications.models import OutboxMail, Queue, State

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


def _compose(mail: OutboxMail) -> None:
    try:
        mails.compose(mail)
    except NotWanted:
        return


def _suspend(user: User) -> None:
    users.suspend(user, actor=None)
