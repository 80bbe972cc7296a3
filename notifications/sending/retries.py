"""Retries: when an email that was not sent is attempted again, and for how long.

Twelve attempts in about a day, with pauses that double.
"""

import secrets
from datetime import timedelta
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils import timezone

from notifications import outbox
from notifications.models import ERROR_LENGTH, MAX_ATTEMPTS, OutboxMail, State

FIRST_PAUSE = timedelta(seconds=40)  # doubled after each attempt: the twelfth begins about a day after the first
RETRIABLE = (State.FAILED, State.CANCELLED, State.PENDING)


def reschedule(mail: OutboxMail, reason: str) -> None:
    """Schedules the next attempt after a pause; marks the email as failed after the last one."""
    if mail.attempts >= MAX_ATTEMPTS:
        outbox.mark_failed(mail, reason)
        return
    OutboxMail.objects.still_claimed(mail).update(
        state=State.PENDING,
        next_attempt_at=timezone.now() + _pause(mail.attempts),
        lease_until=None,
        last_error=reason[:ERROR_LENGTH],
    )


def requeue(mail: OutboxMail, reason: str) -> None:
    """Returns the email to the end of the queue and uncounts the attempt: the error was not about this email."""
    OutboxMail.objects.still_claimed(mail).update(
        state=State.PENDING,
        attempts=F("attempts") - 1,
        next_attempt_at=timezone.now(),
        lease_until=None,
        last_error=reason[:ERROR_LENGTH],
    )


def count_attempt(mail_id: UUID) -> None:
    """Counts an attempt of a pending email, and schedules the next one or marks it as failed."""
    for mail in OutboxMail.objects.filter(pk=mail_id, state=State.PENDING):
        attempts = mail.attempts + 1
        is_last = attempts >= MAX_ATTEMPTS
        OutboxMail.objects.filter(pk=mail_id, state=State.PENDING, attempts=mail.attempts).update(
            state=State.FAILED if is_last else State.PENDING,
            attempts=attempts,
            next_attempt_at=timezone.now() + _pause(attempts),
            lease_until=None,
        )


def retry_now(mails: QuerySet[OutboxMail]) -> int:
    """Makes those of the emails pending that failed, were cancelled or wait for an attempt; returns how many.

    They are due now and have all attempts again. An email that was cancelled while being sent is due when the lease of
    its sender ends, and keeps the lease: two senders would send it twice, and the first may still mark it as sent.
    """
    now = timezone.now()
    is_leased = Q(lease_until__gt=now)
    due_at = Case(
        When(is_leased, state=State.CANCELLED, then=F("lease_until")),
        When(is_leased, then=F("next_attempt_at")),
        default=Value(now),
    )
    again = outbox.in_updatable_query(mails).filter(state__in=RETRIABLE)
    return again.update(
        state=State.PENDING,
        attempts=0,
        next_attempt_at=due_at,
        lease_until=Case(When(is_leased, then=F("lease_until"))),
    )


def _pause(attempts: int) -> timedelta:
    """Returns a pause that doubles, and varies by a fifth: emails that failed together are not retried together."""
    jitter = 0.8 + secrets.randbelow(401) / 1000
    return FIRST_PAUSE * jitter * int(2 ** (attempts - 1))
