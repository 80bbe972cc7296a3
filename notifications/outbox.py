"""The outbox: put() owes a mail, claim() gives it to one sender alone, the settling functions say how it went.

Every change is one conditional UPDATE, so any number of workers and relays may work on it at once.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Case, Count, F, Q, QuerySet, Value, When
from django.utils import timezone
from django.utils.translation import get_language, get_supported_language_variant, gettext_noop

from accounts import pruning
from accounts.addresses import canonical_email
from accounts.models import User
from notifications.models import ERROR_LENGTH, MAX_ATTEMPTS, OutboxMail, Queue, State

LEASE = timedelta(seconds=60)  # longer than a conversation with a mail server may last and its row wait for its lock
ON_ITS_WAY = timedelta(seconds=5)  # what a worker is given to take a fresh mail before the relay does
HANDED_OVER = timedelta(seconds=60)  # the same for what the relay handed to the broker
FIRST_PAUSE = timedelta(seconds=40)  # doubled after each try: the twelfth comes about a day after the first
KEEP_SETTLED = timedelta(days=30)
KEEP_FAILED = timedelta(days=90)
UNSENT = (State.OWED, State.SENDING)
RETRIABLE = (State.FAILED, State.CANCELLED, State.OWED)


class Due(NamedTuple):
    """A mail to be taken up; `is_overdue` when the broker was trusted with it and no worker took it."""

    id: UUID
    is_overdue: bool


def put(
    kind: str,
    *,
    email: str,
    user: User | None = None,
    language: str | None = None,
    data: dict[str, Any] | None = None,
    queue: Queue = Queue.NOW,
) -> OutboxMail:
    """Owes somebody a mail; without a user, whoever has the address when it goes.

    Call it in the transaction of its cause. The language is the request's if none is given. Raises ValueError for what
    is no address.
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
        lease_until=now + ON_ITS_WAY if settings.CELERY_BROKER_URL and queue == Queue.NOW else None,
    )


def claim(mail_id: UUID) -> OutboxMail | None:
    """The mail, for this caller alone until the lease ends; None if it need not be sent now, or not by this caller, or
    the queue is held and this is not the probe.

    The try counts from here, so that a mail which kills its sender is not tried for ever.
    """
    now = timezone.now()
    values = {"id": mail_id, "now": now, "lease": now + LEASE, "most": MAX_ATTEMPTS}
    claimed = list(OutboxMail.objects.raw(_CLAIM, {name: _adapted(value) for name, value in values.items()}))
    if claimed:
        return claimed[0]
    is_free = Q(state=State.OWED, next_attempt_at__lte=now) | Q(state=State.SENDING, lease_until__lte=now)
    OutboxMail.objects.filter(is_free, pk=mail_id, attempts__gte=MAX_ATTEMPTS).update(
        state=State.FAILED,
        lease_until=None,
        last_error=gettext_noop("Whoever tried to send it stopped without a word."),
    )
    return None


def due(queue: str, limit: int) -> list[Due]:
    """The mails of a queue to be taken up now: those that a dead sender left behind, then the others."""
    now = timezone.now()
    mails = OutboxMail.objects.filter(queue=queue)
    left = mails.filter(state=State.SENDING, lease_until__lte=now).order_by("lease_until")
    found = [Due(mail_id, is_overdue=False) for mail_id in left.values_list("pk", flat=True)[:limit]]
    is_waiting = Q(lease_until=None) | Q(lease_until__lte=now)
    owed = mails.filter(is_waiting, state=State.OWED, next_attempt_at__lte=now).order_by("next_attempt_at")
    more = owed.values_list("pk", "lease_until")[: limit - len(found)]
    return found + [Due(mail_id, is_overdue=lease is not None) for mail_id, lease in more]


def numbers() -> dict[str, int]:
    """How many mails there are of each state. Counts no column, so that an index alone is read."""
    states = OutboxMail.objects.order_by().values_list("state")
    return dict.fromkeys(State.values, 0) | dict(states.annotate(number=Count("*")))


def oldest_owed() -> timedelta:
    """For how long the oldest mail that is not settled is owed: one entry of an index for each state."""
    times = OutboxMail.objects.order_by("created_at").values_list("created_at", flat=True)
    firsts = [times.filter(state=state).first() for state in UNSENT]
    return max((timezone.now() - first for first in firsts if first), default=timedelta())


def hand_over(mails: list[Due]) -> list[Due]:
    """Those of the mails that this caller, and no other, may hand to the broker now."""
    if not mails:
        return []
    now = timezone.now()
    values = [now + HANDED_OVER, now, *(mail.id for mail in mails)]
    with connection.cursor() as cursor:
        cursor.execute(_HAND_OVER.format(", ".join(["%s"] * len(mails))), [_adapted(value) for value in values])
        handed = {UUID(str(mail_id)) for (mail_id,) in cursor.fetchall()}
    return [mail for mail in mails if mail.id in handed]


def take_back(mails: list[Due]) -> None:
    """Undoes hand_over() for what the broker did not take."""
    OutboxMail.objects.filter(pk__in=[mail.id for mail in mails], state=State.OWED).update(lease_until=None)


def settle_sent(mail: OutboxMail) -> None:
    """The mail server has it. That holds for one that was cancelled meanwhile, or even owed anew, too."""
    values = {"id": mail.pk, "now": timezone.now(), "lease": mail.lease_until}
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE_SENT, {name: _adapted(value) for name, value in values.items()})


def settle_failed(mail: OutboxMail, reason: str) -> None:
    """It is not tried again by itself."""
    OutboxMail.objects.held(mail).update(state=State.FAILED, lease_until=None, last_error=reason[:ERROR_LENGTH])


def settle_cancelled(mail: OutboxMail, reason: str) -> None:
    """Nobody is to get it any more."""
    OutboxMail.objects.held(mail).update(state=State.CANCELLED, lease_until=None, last_error=reason[:ERROR_LENGTH])


def postpone(mail: OutboxMail, reason: str) -> None:
    """It is tried again after a pause, unless that was the last try."""
    if mail.attempts >= MAX_ATTEMPTS:
        settle_failed(mail, reason)
        return
    OutboxMail.objects.held(mail).update(
        state=State.OWED,
        next_attempt_at=timezone.now() + _pause(mail.attempts),
        lease_until=None,
        last_error=reason[:ERROR_LENGTH],
    )


def put_back(mail: OutboxMail, reason: str) -> None:
    """It is pending as before, behind the others, and the attempt does not count: it was not about this email."""
    OutboxMail.objects.held(mail).update(
        state=State.OWED,
        attempts=F("attempts") - 1,
        next_attempt_at=timezone.now(),
        lease_until=None,
        last_error=reason[:ERROR_LENGTH],
    )


def postpone_waiting(mail_id: UUID) -> None:
    """Counts an attempt of an email that is pending, and lets it wait for its next one."""
    for mail in OutboxMail.objects.filter(pk=mail_id, state=State.OWED):
        attempts = mail.attempts + 1
        is_last = attempts >= MAX_ATTEMPTS
        OutboxMail.objects.filter(pk=mail_id, state=State.OWED, attempts=mail.attempts).update(
            state=State.FAILED if is_last else State.OWED,
            attempts=attempts,
            next_attempt_at=timezone.now() + _pause(attempts),
            lease_until=None,
        )


def retry(mails: QuerySet[OutboxMail]) -> int:
    """Owes those anew that failed, were cancelled or wait for their next try; returns how many.

    One that was cancelled in the hands of its sender is due when that one's lease has ended, and keeps the lease: two
    senders must not meet, and the first may yet bring word that it was sent.
    """
    now = timezone.now()
    is_leased = Q(lease_until__gt=now)
    due_at = Case(
        When(is_leased, state=State.CANCELLED, then=F("lease_until")),
        When(is_leased, then=F("next_attempt_at")),
        default=Value(now),
    )
    again = _among(mails).filter(state__in=RETRIABLE)
    return again.update(
        state=State.OWED,
        attempts=0,
        next_attempt_at=due_at,
        lease_until=Case(When(is_leased, then=F("lease_until"))),
    )


def cancel(mails: QuerySet[OutboxMail], reason: str) -> int:
    """Owes those no more that were not sent yet; returns how many.

    One in the hands of its sender may still go out, and stays the sender's until the lease ends.
    """
    unsent = _among(mails).filter(state__in=UNSENT)
    return unsent.update(state=State.CANCELLED, last_error=reason[:ERROR_LENGTH])


def prune() -> int:
    """Deletes mails that were settled long ago; returns how many."""
    now = timezone.now()
    settled = Q(state__in=[State.SENT, State.CANCELLED], created_at__lt=now - KEEP_SETTLED)
    failed = Q(state=State.FAILED, created_at__lt=now - KEEP_FAILED)
    return pruning.delete(OutboxMail.objects.filter(settled | failed))


# What is done for each mail: it takes a quarter of what it takes when Django composes the statement anew each time.
_CLAIM = """
UPDATE notifications_outboxmail SET state = 'sending', attempts = attempts + 1, lease_until = %(lease)s
WHERE id = %(id)s AND attempts < %(most)s
    AND (state = 'owed' AND next_attempt_at <= %(now)s OR state = 'sending' AND lease_until <= %(now)s)
    AND NOT EXISTS (SELECT 1 FROM notifications_deliveryhold WHERE probe IS NULL OR probe <> %(id)s)
RETURNING *, EXISTS (SELECT 1 FROM notifications_deliveryhold) AS is_probe
"""
_SETTLE_SENT = """
UPDATE notifications_outboxmail SET state = 'sent', sent_at = %(now)s, lease_until = NULL, last_error = ''
WHERE id = %(id)s AND lease_until = %(lease)s AND state IN ('sending', 'cancelled', 'owed')
"""
_HAND_OVER = """
UPDATE notifications_outboxmail SET state = 'owed', lease_until = %s
WHERE (state = 'owed' AND lease_until IS NULL OR state = 'sending' AND lease_until <= %s) AND id IN ({})
RETURNING id
"""


def _adapted(value: Any) -> Any:
    """The form in which this database takes a value, which is for us to see to where we write the SQL."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, UUID) and not connection.features.has_native_uuid_field:
        return value.hex
    return value


def _among(mails: QuerySet[OutboxMail]) -> QuerySet[OutboxMail]:
    """The same mails in a query that can be updated, whatever order or joins the other has."""
    return OutboxMail.objects.filter(pk__in=mails.order_by().values("pk"))


def _pause(attempts: int) -> timedelta:
    """A fifth more or less by chance, so that what failed together does not come back together."""
    by_chance = 0.8 + secrets.randbelow(401) / 1000
    return FIRST_PAUSE * by_chance * int(2 ** (attempts - 1))


def _supported(language: str | None) -> str:
    try:
        return get_supported_language_variant(language or settings.LANGUAGE_CODE)
    except LookupError:
        return settings.LANGUAGE_CODE
