"""Owing a mail, taking it up, and what becomes of it."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import IntegrityError
from django.utils import timezone, translation
from pytest_django import Settings

from accounts import pruning
from accounts.models import User
from notifications import outbox
from notifications.models import MAX_ATTEMPTS, OutboxMail, Queue, State

Owe = Callable[..., OutboxMail]


def pass_time(mail: OutboxMail, time: timedelta) -> None:
    """Moves the row's times into the past, as if so much had passed."""
    stored = OutboxMail.objects.get(pk=mail.pk)
    OutboxMail.objects.filter(pk=mail.pk).update(
        next_attempt_at=stored.next_attempt_at - time,
        created_at=stored.created_at - time,
        lease_until=stored.lease_until - time if stored.lease_until else None,
    )


def test_a_mail_is_owed_in_the_language_of_the_request(db: None) -> None:
    with translation.override("es-mx"):
        assert outbox.put("password_reset", email="Ana@Example.com").language == "es"
    with translation.override("ja"):
        assert outbox.put("password_reset", email="Ana@Example.com").language == "en"


def test_a_mail_knows_the_address_in_both_forms(db: None) -> None:
    mail = outbox.put("password_reset", email="Ana@BÜCHER.example")
    assert (mail.email, mail.email_key) == ("Ana@BÜCHER.example", "ana@xn--bcher-kva.example")


def test_what_is_no_address_is_owed_nothing(db: None) -> None:
    with pytest.raises(ValueError, match="address"):
        outbox.put("password_reset", email="ana")
    assert not OutboxMail.objects.exists()


def test_only_the_first_claim_gets_the_mail(owe: Owe) -> None:
    mail = owe()
    claimed = outbox.claim(mail.pk)
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == (State.SENDING, 1)
    assert outbox.claim(mail.pk) is None


def test_a_settled_mail_cannot_be_claimed(owe: Owe) -> None:
    for settle in (
        outbox.settle_sent,
        lambda mail: outbox.settle_failed(mail, "no"),
        lambda mail: outbox.settle_cancelled(mail, "no"),
    ):
        mail = owe()
        settle(claim(mail))
        pass_time(mail, outbox.LEASE * 2)
        assert outbox.claim(mail.pk) is None


def test_a_mail_whose_sender_died_is_somebody_elses_after_the_lease(owe: Owe) -> None:
    mail = owe()
    dead = claim(mail)
    pass_time(mail, outbox.LEASE)
    assert [due.id for due in outbox.due(Queue.NOW, 10)] == [mail.pk]
    assert claim(mail).attempts == 2
    assert not OutboxMail.objects.held(dead).exists()


@pytest.mark.parametrize("settle", [outbox.settle_sent, lambda mail: outbox.postpone(mail, "late")])
def test_who_lost_the_lease_can_settle_nothing(owe: Owe, settle: Callable[[OutboxMail], None]) -> None:
    mail = owe()
    late = claim(mail)
    pass_time(mail, outbox.LEASE)
    late.lease_until = OutboxMail.objects.get(pk=mail.pk).lease_until
    now_its_sender = claim(mail)
    settle(late)
    stored = OutboxMail.objects.get(pk=mail.pk)
    assert (stored.state, stored.lease_until) == (State.SENDING, now_its_sender.lease_until)


def test_a_postponed_mail_waits_longer_each_time(owe: Owe) -> None:
    mail = owe()
    pauses = []
    for attempt in range(1, MAX_ATTEMPTS):
        outbox.postpone(claim(mail), f"try {attempt}")
        stored = OutboxMail.objects.get(pk=mail.pk)
        assert (stored.state, stored.attempts, stored.last_error) == (State.OWED, attempt, f"try {attempt}")
        assert outbox.claim(mail.pk) is None
        pauses.append(stored.next_attempt_at - timezone.now())
        pass_time(mail, pauses[-1] + timedelta(seconds=1))
    assert all(later > earlier * 1.2 for earlier, later in pairwise(pauses))
    assert timedelta(hours=17) < sum(pauses, timedelta()) < timedelta(hours=28)


def test_the_last_try_fails_the_mail(owe: Owe) -> None:
    mail = owe()
    OutboxMail.objects.filter(pk=mail.pk).update(attempts=MAX_ATTEMPTS - 1)
    outbox.postpone(claim(mail), "451 later")
    stored = OutboxMail.objects.get(pk=mail.pk)
    assert (stored.state, stored.attempts, stored.last_error) == (State.FAILED, MAX_ATTEMPTS, "451 later")


def test_a_mail_that_kills_its_sender_each_time_fails_in_the_end(owe: Owe) -> None:
    mail = owe()
    for _ in range(MAX_ATTEMPTS):
        assert outbox.claim(mail.pk)
        pass_time(mail, outbox.LEASE)
    assert outbox.claim(mail.pk) is None
    stored = OutboxMail.objects.get(pk=mail.pk)
    assert (stored.state, stored.attempts) == (State.FAILED, MAX_ATTEMPTS)
    assert "stopped without a word" in stored.last_error
    assert outbox.due(Queue.NOW, 10) == []


def test_what_somebody_waits_for_is_due_apart_from_what_goes_to_many(owe: Owe) -> None:
    bulk, first, second = owe(queue=Queue.BULK), owe(), owe()
    assert [due.id for due in outbox.due(Queue.NOW, 10)] == [first.pk, second.pk]
    assert [due.id for due in outbox.due(Queue.NOW, 1)] == [first.pk]
    assert [due.id for due in outbox.due(Queue.BULK, 10)] == [bulk.pk]


def test_what_dead_senders_left_is_due_however_much_else_is(owe: Owe) -> None:
    left = owe(queue=Queue.BULK)
    claim(left)
    pass_time(left, outbox.LEASE)
    owe(queue=Queue.BULK)
    assert [due.id for due in outbox.due(Queue.BULK, 1)] == [left.pk]


def test_with_a_broker_a_fresh_mail_is_the_workers_for_a_while(owe: Owe, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://broker"
    mail = owe()
    assert outbox.due(Queue.NOW, 10) == []
    pass_time(mail, outbox.ON_ITS_WAY)
    assert [due.is_overdue for due in outbox.due(Queue.NOW, 10)] == [True]
    assert outbox.claim(mail.pk)


def test_a_mail_is_handed_to_the_broker_by_one_and_comes_back_if_no_worker_takes_it(owe: Owe) -> None:
    mail = owe()
    (due,) = outbox.due(Queue.NOW, 10)
    assert outbox.hand_over([due]) == [due]
    assert outbox.hand_over([due]) == []
    assert outbox.due(Queue.NOW, 10) == []
    pass_time(mail, outbox.HANDED_OVER)
    assert [due.is_overdue for due in outbox.due(Queue.NOW, 10)] == [True]


def test_what_the_broker_did_not_take_is_due_again(owe: Owe) -> None:
    owe()
    given = outbox.hand_over(outbox.due(Queue.NOW, 10))
    outbox.take_back(given)
    assert outbox.due(Queue.NOW, 10) == given


def test_retry_owes_anew_all_but_what_was_sent_or_is_being_sent(owe: Owe) -> None:
    failed, cancelled, sent, sending = (owe() for _ in range(4))
    outbox.settle_failed(claim(failed), "550 no")
    outbox.cancel(OutboxMail.objects.filter(pk=cancelled.pk), "changed my mind")
    outbox.settle_sent(claim(sent))
    claim(sending)
    assert outbox.retry(OutboxMail.objects.order_by("email")) == 2
    assert {due.id for due in outbox.due(Queue.NOW, 10)} == {failed.pk, cancelled.pk}
    assert claim(failed).attempts == 1


def test_what_is_cancelled_and_owed_anew_in_the_hands_of_its_sender_waits_for_the_lease(owe: Owe) -> None:
    claimed = claim(owe())
    mail = OutboxMail.objects.filter(pk=claimed.pk)
    outbox.cancel(mail, "oops")
    for _ in range(2):  # somebody may press the button twice
        assert outbox.retry(mail) == 1
        assert outbox.due(Queue.NOW, 10) == []
        assert outbox.claim(claimed.pk) is None
    pass_time(claimed, outbox.LEASE)
    assert [due.id for due in outbox.due(Queue.NOW, 10)] == [claimed.pk]
    assert claim(claimed).attempts == 1


def test_what_its_first_sender_sent_is_not_sent_again_whatever_was_pressed_meanwhile(owe: Owe) -> None:
    claimed = claim(owe())
    mail = OutboxMail.objects.filter(pk=claimed.pk)
    outbox.cancel(mail, "oops")
    outbox.retry(mail)
    outbox.settle_sent(claimed)
    assert mail.get().state == State.SENT


def test_what_the_broker_has_already_is_no_later_for_being_owed_anew(owe: Owe, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://broker"
    mail = owe()
    assert outbox.retry(OutboxMail.objects.all()) == 1
    assert outbox.claim(mail.pk)


def test_cancelling_spares_what_was_sent(owe: Owe) -> None:
    sent, owed = owe(), owe()
    outbox.settle_sent(claim(sent))
    assert outbox.cancel(OutboxMail.objects.all(), "enough") == 1
    stored = OutboxMail.objects.get(pk=owed.pk)
    assert (stored.state, stored.last_error) == (State.CANCELLED, "enough")
    assert outbox.due(Queue.NOW, 10) == []


def test_what_was_cancelled_while_it_was_sent_counts_as_sent_and_is_not_tried_again(owe: Owe) -> None:
    sent, not_sent = claim(owe()), claim(owe())
    outbox.cancel(OutboxMail.objects.all(), "too late")
    outbox.settle_sent(sent)
    outbox.postpone(not_sent, "451 later")
    states = dict(OutboxMail.objects.values_list("pk", "state"))
    assert states == {sent.pk: State.SENT, not_sent.pk: State.CANCELLED}


def test_pruning_keeps_what_is_owed_and_what_failed_for_longer(owe: Owe) -> None:
    sent, failed, owed, recent = (owe() for _ in range(4))
    outbox.settle_sent(claim(sent))
    outbox.settle_failed(claim(failed), "550 no")
    outbox.settle_sent(claim(recent))
    for mail in (sent, failed, owed):
        pass_time(mail, outbox.KEEP_SETTLED)
    assert outbox.prune() == 1
    assert set(OutboxMail.objects.values_list("pk", flat=True)) == {failed.pk, owed.pk, recent.pk}
    pass_time(failed, outbox.KEEP_FAILED)
    assert outbox.prune() == 1


def test_pruning_is_done_in_small_steps(owe: Owe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 2)
    for _ in range(5):
        mail = owe()
        outbox.settle_sent(claim(mail))
        pass_time(mail, outbox.KEEP_SETTLED)
    assert outbox.prune() == 5


@pytest.mark.parametrize(
    "nonsense",
    [{"state": "lost"}, {"queue": "soon"}, {"attempts": 13}, {"state": State.SENDING}, {"state": State.SENT}],
)
def test_the_database_refuses_nonsense(owe: Owe, nonsense: dict[str, object]) -> None:
    mail = owe()
    with pytest.raises(IntegrityError):
        OutboxMail.objects.filter(pk=mail.pk).update(**nonsense)


def test_mails_go_with_their_user(ana: User, owe: Owe) -> None:
    owe("password_changed", user=ana)
    ana.delete()
    assert not OutboxMail.objects.exists()


def claim(mail: OutboxMail) -> OutboxMail:
    claimed = outbox.claim(mail.pk)
    assert claimed is not None
    return claimed
