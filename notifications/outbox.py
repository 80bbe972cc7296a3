"""The outbox: enqueue() adds an email, claim() gives it to one sender alone, the mark functions store the outcome.

Every change is one conditional UPDATE, so any number of workers and relays can use it at once.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import get_language, get_supported_language_variant, gettext_noop

from accounts import pruning
from accounts.email_addresses import canonical_email
from accounts.models import User
from notifications.models import ERROR_LENGTH, MAX_ATTEMPTS, OutboxMail, Queue, State

LEASE = timedelta(seconds=60)  # longer than an SMTP conversation and the wait for the row's lock may take together
FRESH_LEASE = timedelta(seconds=5)  # a worker has this long to claim a new email before the relay does
BROKER_LEASE = timedelta(seconds=60)  # the same for an email that the relay gave to the broker
KEEP_SENT = timedelta(days=30)  # cancelled ones, too
KEEP_FAILED = timedelta(days=90)
UNSENT = (State.PENDING, State.SENDING)


class Due(NamedTuple):
    """An email to be sent now. It `is_overdue` if the broker has it and no worker has claimed it in time."""

    id: UUID
    is_overdue: bool


def enqueue(
    kind: str,
    *,
    email: str,
    user: User | None = None,
    language: str | None = None,
    data: dict[str, Any] | None = None,
    queue: Queue = Queue.NOW,
) -> OutboxMail:
    """Adds an email; without a user, it is for the owner that the address has when it is sent.

    Must be called in the transaction of its cause: both are stored, or neither. The default language is the request's.
    Raises ValueError for an invalid address.
    """
    now = timezone.now()
    return OutboxMail.objects.create(
        kind=kind,
        user=user,
        email=email,
        email_key=canonical_email(email),
        language=_supported(language or get_language()),
        data=data or {},
        queue=queue,
        created_at=now,
        next_attempt_at=now,
        lease_until=now + FRESH_LEASE if settings.CELERY_BROKER_URL and queue == Queue.NOW else None,
    )


def claim(mail_id: UUID) -> OutboxMail | None:
    """Claims the email for this caller until the lease ends, and counts an attempt.

    Returns None if the email is not due, another sender has it, or the queue is held and it is not the probe. The
    attempt counts at its beginning: an email that kills its sender would be attempted for ever otherwise.
    """
    now = timezone.now()
    values = {"id": mail_id, "now": now, "lease": now + LEASE, "most": MAX_ATTEMPTS}
    claimed = list(OutboxMail.objects.raw(_CLAIM, {name: _adapted(value) for name, value in values.items()}))
    if claimed:
        return claimed[0]
    is_free = Q(state=State.PENDING, next_attempt_at__lte=now) | Q(state=State.SENDING, lease_until__lte=now)
    OutboxMail.objects.filter(is_free, pk=mail_id, attempts__gte=MAX_ATTEMPTS).update(
        state=State.FAILED,
        lease_until=None,
        last_error=gettext_noop("The sender crashed or stopped responding."),
    )
    return None


def is_claimed(mail: OutboxMail) -> bool:
    """Returns whether the claim with which the email was read still holds."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_CLAIMED, {"id": _adapted(mail.pk), "lease": _adapted(mail.lease_until)})
        return cursor.fetchone() is not None


def due(queue: str, limit: int) -> list[Due]:
    """Returns the emails of the queue that can be claimed now: first those whose sender died, then the pending ones."""
    now = timezone.now()
    mails = OutboxMail.objects.filter(queue=queue)
    left = mails.filter(state=State.SENDING, lease_until__lte=now).order_by("lease_until")
    found = [Due(mail_id, is_overdue=False) for mail_id in left.values_list("pk", flat=True)[:limit]]
    is_waiting = Q(lease_until=None) | Q(lease_until__lte=now)
    pending = mails.filter(is_waiting, state=State.PENDING, next_attempt_at__lte=now).order_by("next_attempt_at")
    more = pending.values_list("pk", "lease_until")[: limit - len(found)]
    return found + [Due(mail_id, is_overdue=lease is not None) for mail_id, lease in more]


def count_by_state() -> dict[str, int]:
    """Returns the number of emails in each state. Counts rows and no column, so the database reads an index alone."""
    states = OutboxMail.objects.order_by().values_list("state")
    return dict.fromkeys(State.values, 0) | dict(states.annotate(number=Count("*")))


def oldest_pending_age() -> timedelta:
    """Returns the age of the oldest unsent email; zero without one. Reads one index entry for each state."""
    times = OutboxMail.objects.order_by("created_at").values_list("created_at", flat=True)
    firsts = [times.filter(state=state).first() for state in UNSENT]
    return max((timezone.now() - first for first in firsts if first), default=timedelta())


def lease_to_broker(mails: list[Due]) -> list[Due]:
    """Leases the emails for the broker; returns the emails that this caller, and no other, may now publish."""
    if not mails:
        return []
    now = timezone.now()
    values = [now + BROKER_LEASE, now, *(mail.id for mail in mails)]
    with connection.cursor() as cursor:
        cursor.execute(_LEASE_TO_BROKER.format(", ".join(["%s"] * len(mails))), [_adapted(value) for value in values])
        leased = {UUID(str(mail_id)) for (mail_id,) in cursor.fetchall()}
    return [mail for mail in mails if mail.id in leased]


def release(mails: list[Due]) -> None:
    """Undoes lease_to_broker() for emails that the broker did not take."""
    OutboxMail.objects.filter(pk__in=[mail.id for mail in mails], state=State.PENDING).update(lease_until=None)


def mark_sent(mail: OutboxMail) -> None:
    """Marks the email as sent, even if it was cancelled or retried by an administrator while it was being sent."""
    values = {"id": mail.pk, "now": timezone.now(), "lease": mail.lease_until}
    with connection.cursor() as cursor:
        cursor.execute(_MARK_SENT, {name: _adapted(value) for name, value in values.items()})


def mark_failed(mail: OutboxMail, reason: str) -> None:
    """Marks the email as failed: only an administrator's retry sends it again."""
    OutboxMail.objects.still_claimed(mail).update(
        state=State.FAILED, lease_until=None, last_error=reason[:ERROR_LENGTH]
    )


def mark_cancelled(mail: OutboxMail, reason: str) -> None:
    """Marks the email as cancelled, as it has become obsolete."""
    OutboxMail.objects.still_claimed(mail).update(
        state=State.CANCELLED, lease_until=None, last_error=reason[:ERROR_LENGTH]
    )


def cancel(mails: QuerySet[OutboxMail], reason: str) -> int:
    """Cancels those of the emails that are unsent; returns how many.

    An email that is being sent may still go out. It keeps its lease, so that no second sender claims it.
    """
    unsent = in_updatable_query(mails).filter(state__in=UNSENT)
    return unsent.update(state=State.CANCELLED, last_error=reason[:ERROR_LENGTH])


def prune() -> int:
    """Deletes old emails that were sent, cancelled or have failed; returns how many."""
    now = timezone.now()
    done = Q(state__in=[State.SENT, State.CANCELLED], created_at__lt=now - KEEP_SENT)
    failed = Q(state=State.FAILED, created_at__lt=now - KEEP_FAILED)
    return pruning.delete(OutboxMail.objects.filter(done | failed))


# These run for each email. As plain SQL they take a quarter of the time that they take when Django builds them.
_CLAIM = """
UPDATE notifications_outboxmail SET state = 'sending', attempts = attempts + 1, lease_until = %(lease)s
WHERE id = %(id)s AND attempts < %(most)s
    AND (state = 'owed' AND next_attempt_at <= %(now)s OR state = 'sending' AND lease_until <= %(now)s)
    AND NOT EXISTS (SELECT 1 FROM notifications_deliveryhold WHERE probe IS NULL OR probe <> %(id)s)
RETURNING *, EXISTS (SELECT 1 FROM notifications_deliveryhold) AS is_probe
"""
_IS_CLAIMED = (
    "SELECT 1 FROM notifications_outboxmail WHERE id = %(id)s AND state = 'sending' AND lease_until = %(lease)s"
)
_MARK_SENT = """
UPDATE notifications_outboxmail SET state = 'sent', sent_at = %(now)s, lease_until = NULL, last_error = ''
WHERE id = %(id)s AND lease_until = %(lease)s AND state IN ('sending', 'cancelled', 'owed')
"""
_LEASE_TO_BROKER = """
UPDATE notifications_outboxmail SET state = 'owed', lease_until = %s
WHERE (state = 'owed' AND lease_until IS NULL OR state = 'sending' AND lease_until <= %s) AND id IN ({})
RETURNING id
"""


def _adapted(value: Any) -> Any:
    """Converts a value to the form that the database expects, as Django does for its own SQL."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, UUID) and not connection.features.has_native_uuid_field:
        return value.hex
    return value


def in_updatable_query(mails: QuerySet[OutboxMail]) -> QuerySet[OutboxMail]:
    """Returns the same emails in a query that allows update(), without the ordering and joins of the given one."""
    return OutboxMail.objects.filter(pk__in=mails.order_by().values("pk"))


def _supported(language: str | None) -> str:
    try:
        return get_supported_language_variant(language or settings.LANGUAGE_CODE)
    except LookupError:
        return settings.LANGUAGE_CODE
