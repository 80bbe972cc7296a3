"""The outbox: enqueueing, claiming and marking an email, retries and cancelling."""

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
from notifications.sending import retries

Enqueue = Callable[..., OutboxMail]


def pass_time(mail: OutboxMail, time: timedelta) -> None:
    """Moves the row's times into the past, as if so much had passed."""
    stored = OutboxMail.objects.get(pk=mail.pk)
    OutboxMail.objects.filter(pk=mail.pk).update(
        next_attempt_at=stored.next_attempt_at - time,
        created_at=stored.created_at - time,
        lease_until=stored.lease_until - time if stored.lease_until else None,
    )


def test_an_email_has_the_language_of_the_request(db: None) -> None:
    with translation.override("es-mx"):
        assert outbox.enqueue("password_reset", email="Ana@Example.com").language == "es"
    with translation.override("ja"):
        assert outbox.enqueue("password_reset", email="Ana@Example.com").language == "en"


def test_an_email_stores_the_address_in_both_forms(db: None) -> None:
    mail = outbox.enqueue("password_reset", email="Ana@BÜCHER.example")
    assert (mail.email, mail.email_key) == ("Ana@BÜCHER.example", "ana@xn--bcher-kva.example")


def test_an_invalid_address_is_rejected(db: None) -> None:
    with pytest.raises(ValueError, match="address"):
        outbox.enqueue("password_reset", email="ana")
    assert not OutboxMail.objects.exists()


def test_only_the_first_claim_gets_the_email(enqueue: Enqueue) -> None:
    mail = enqueue()
    claimed = outbox.claim(mail.pk)
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == (State.SENDING, 1)
    assert outbox.claim(mail.pk) is None


def test_an_email_that_was_marked_cannot_be_claimed(enqueue: Enqueue) -> None:
    for settle in (
        outbox.mark_sent,
        lambda mail: outbox.mark_failed(mail, "no"),
        lambda mail: outbox.mark_cancelled(mail, "no"),
    ):
        mail = enqueue()
        settle(claim(mail))
        pass_time(mail, outbox.LEASE * 2)
        assert outbox.claim(mail.pk) is None


def test_an_email_of_a_dead_sender_can_be_claimed_after_the_lease(enqueue: Enqueue) -> None:
    mail = enqueue()
    dead = claim(mail)
    pass_time(mail, outbox.LEASE)
    assert [due.id for due in outbox.due(Queue.NOW, 10)] == [mail.pk]
    assert claim(mail).attempts == 2
    assert not OutboxMail.objects.still_claimed(dead).exists()


@pytest.mark.parametrize("settle", [outbox.mark_sent, lambda mail: retries.reschedule(mail, "late")])
def test_a_sender_without_the_lease_can_mark_nothing(enqueue: Enqueue, settle: Callable[[OutboxMail], None]) -> None:
    mail = enqueue()
    late = claim(mail)
    pass_time(mail, outbox.LEASE)
    late.lease_until = OutboxMail.objects.get(pk=mail.pk).lease_until
    now_its_sender = claim(mail)
    settle(late)
    stored = OutboxMail.objects.get(pk=mail.pk)
    assert (stored.state, stored.lease_until) == (State.SENDING, now_its_sender.lease_until)


def test_the_pause_before_each_attempt_grows(enqueue: Enqueue) -> None:
    mail = enqueue()
    pauses = []
    for attempt in range(1, MAX_ATTEMPTS):
        retries.reschedule(claim(mail), f"try {attempt}")
        stored = OutboxMail.objects.get(pk=mail.pk)
        assert (stored.state, stored.attempts, stored.last_error) == (State.PENDING, attempt, f"try {attempt}")
        assert outbox.claim(mail.pk) is None
        pauses.append(stored.next_attempt_at - timezone.now())
        pass_time(mail, pauses[-1] + timedelta(seconds=1))
    assert all(later > earlier * 1.2 for earlier, later in pairwise(pauses))
    assert timedelta(hours=17) < sum(pauses, timedelta()) < timedelta(hours=28)


def test_the_last_attempt_fails_the_email(enqueue: Enqueue) -> None:
    mail = enqueue()
    OutboxMail.objects.filter(pk=mail.pk).update(attempts=MAX_ATTEMPTS - 1)
    retries.reschedule(claim(mail), "451 later")
    stored = OutboxMail.objects.get(pk=mail.pk)
    assert (stored.state, stored.attempts, stored.last_error) == (State.FAILED, MAX_ATTEMPTS, "451 later")


def test_an_email_that_kills_its_senders_fails_in_the_end(enqueue: Enqueue) -> None:
    mail = enqueue()
    for _ in range(MAX_ATTEMPTS):
        assert outbox.claim(mail.pk)
        pass_time(mail, outbox.LEASE)
    assert outbox.claim(mail.pk) is None
    stored = OutboxMail.objects.get(pk=mail.pk)
    assert (stored.state, stored.attempts) == (State.FAILED, MAX_ATTEMPTS)
    assert "stopped responding" in stored.last_error
    assert outbox.due(Queue.NOW, 10) == []


def test_each_queue_has_its_own_due_emails(enqueue: Enqueue) -> None:
    bulk, first, second = enqueue(queue=Queue.BULK), enqueue(), enqueue()
    assert [due.id for due in outbox.due(Queue.NOW, 10)] == [first.pk, second.pk]
    assert [due.id for due in outbox.due(Queue.NOW, 1)] == [first.pk]
    assert [due.id for due in outbox.due(Queue.BULK, 10)] == [bulk.pk]


def test_emails_of_dead_senders_are_due_first(enqueue: Enqueue) -> None:
    left = enqueue(queue=Queue.BULK)
    claim(left)
    pass_time(left, outbox.LEASE)
    enqueue(queue=Queue.BULK)
    assert [due.id for due in outbox.due(Queue.BULK, 1)] == [left.pk]


def test_with_a_broker_a_new_email_is_reserved_for_a_worker(enqueue: Enqueue, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://broker"
    mail = enqueue()
    assert outbox.due(Queue.NOW, 10) == []
    pass_time(mail, outbox.FRESH_LEASE)
    assert [due.is_overdue for due in outbox.due(Queue.NOW, 10)] == [True]
    assert outbox.claim(mail.pk)


def test_an_email_is_leased_to_the_broker_once_and_due_again_if_no_worker_claims_it(enqueue: Enqueue) -> None:
    mail = enqueue()
    (due,) = outbox.due(Queue.NOW, 10)
    assert outbox.lease_to_broker([due]) == [due]
    assert outbox.lease_to_broker([due]) == []
    assert outbox.due(Queue.NOW, 10) == []
    pass_time(mail, outbox.BROKER_LEASE)
    assert [due.is_overdue for due in outbox.due(Queue.NOW, 10)] == [True]


def test_an_email_that_the_broker_did_not_take_is_due_again(enqueue: Enqueue) -> None:
    enqueue()
    given = outbox.lease_to_broker(outbox.due(Queue.NOW, 10))
    outbox.release(given)
    assert outbox.due(Queue.NOW, 10) == given


def test_retry_makes_all_emails_pending_but_those_sent_or_being_sent(enqueue: Enqueue) -> None:
    failed, cancelled, sent, sending = (enqueue() for _ in range(4))
    outbox.mark_failed(claim(failed), "550 no")
    outbox.cancel(OutboxMail.objects.filter(pk=cancelled.pk), "changed my mind")
    outbox.mark_sent(claim(sent))
    claim(sending)
    assert retries.retry_now(OutboxMail.objects.order_by("email")) == 2
    assert {due.id for due in outbox.due(Queue.NOW, 10)} == {failed.pk, cancelled.pk}
    assert claim(failed).attempts == 1


def test_an_email_cancelled_and_retried_while_being_sent_waits_for_the_lease(enqueue: Enqueue) -> None:
    claimed = claim(enqueue())
    mail = OutboxMail.objects.filter(pk=claimed.pk)
    outbox.cancel(mail, "oops")
    for _ in range(2):  # an administrator may press the button twice
        assert retries.retry_now(mail) == 1
        assert outbox.due(Queue.NOW, 10) == []
        assert outbox.claim(claimed.pk) is None
    pass_time(claimed, outbox.LEASE)
    assert [due.id for due in outbox.due(Queue.NOW, 10)] == [claimed.pk]
    assert claim(claimed).attempts == 1


def test_an_email_that_its_first_sender_sent_is_not_sent_again_after_retries(enqueue: Enqueue) -> None:
    claimed = claim(enqueue())
    mail = OutboxMail.objects.filter(pk=claimed.pk)
    outbox.cancel(mail, "oops")
    retries.retry_now(mail)
    outbox.mark_sent(claimed)
    assert mail.get().state == State.SENT


def test_a_retry_does_not_delay_an_email_that_the_broker_has(enqueue: Enqueue, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://broker"
    mail = enqueue()
    assert retries.retry_now(OutboxMail.objects.all()) == 1
    assert outbox.claim(mail.pk)


def test_cancelling_leaves_sent_emails_alone(enqueue: Enqueue) -> None:
    sent, pending = enqueue(), enqueue()
    outbox.mark_sent(claim(sent))
    assert outbox.cancel(OutboxMail.objects.all(), "enough") == 1
    stored = OutboxMail.objects.get(pk=pending.pk)
    assert (stored.state, stored.last_error) == (State.CANCELLED, "enough")
    assert outbox.due(Queue.NOW, 10) == []


def test_an_email_cancelled_while_being_sent_is_marked_as_sent(enqueue: Enqueue) -> None:
    sent, not_sent = claim(enqueue()), claim(enqueue())
    outbox.cancel(OutboxMail.objects.all(), "too late")
    outbox.mark_sent(sent)
    retries.reschedule(not_sent, "451 later")
    states = dict(OutboxMail.objects.values_list("pk", "state"))
    assert states == {sent.pk: State.SENT, not_sent.pk: State.CANCELLED}


def test_pruning_keeps_pending_emails_and_failed_ones_for_longer(enqueue: Enqueue) -> None:
    sent, failed, pending, recent = (enqueue() for _ in range(4))
    outbox.mark_sent(claim(sent))
    outbox.mark_failed(claim(failed), "550 no")
    outbox.mark_sent(claim(recent))
    for mail in (sent, failed, pending):
        pass_time(mail, outbox.KEEP_SENT)
    assert outbox.prune() == 1
    assert set(OutboxMail.objects.values_list("pk", flat=True)) == {failed.pk, pending.pk, recent.pk}
    pass_time(failed, outbox.KEEP_FAILED)
    assert outbox.prune() == 1


def test_pruning_is_done_in_small_steps(enqueue: Enqueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_SIZE", 2)
    for _ in range(5):
        mail = enqueue()
        outbox.mark_sent(claim(mail))
        pass_time(mail, outbox.KEEP_SENT)
    assert outbox.prune() == 5


@pytest.mark.parametrize(
    "nonsense",
    [{"state": "lost"}, {"queue": "soon"}, {"attempts": 13}, {"state": State.SENDING}, {"state": State.SENT}],
)
def test_constraints_reject_inconsistent_rows(enqueue: Enqueue, nonsense: dict[str, object]) -> None:
    mail = enqueue()
    with pytest.raises(IntegrityError):
        OutboxMail.objects.filter(pk=mail.pk).update(**nonsense)


def test_deleting_a_user_deletes_the_rows(ana: User, enqueue: Enqueue) -> None:
    enqueue("password_changed", user=ana)
    ana.delete()
    assert not OutboxMail.objects.exists()


def claim(mail: OutboxMail) -> OutboxMail:
    claimed = outbox.claim(mail.pk)
    assert claimed is not None
    return claimed
