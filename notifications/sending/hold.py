"""Holds the queue while the mail server rejects this installation, until the server takes an email.

The server would reject every email, so none is attempted but one at a time: the probe. The relay chooses it, and a
claim takes no other email meanwhile. All processes and hosts share the row.
"""

import logging
import re
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from notifications import outbox
from notifications.models import ERROR_LENGTH, DeliveryHold, OutboxMail, State
from notifications.sending import retries

FIRST_PAUSE = timedelta(seconds=30)  # doubled after each rejection, up to MAX_PAUSE
MAX_PAUSE = timedelta(minutes=5)
RECENTLY = timedelta(seconds=60)

log = logging.getLogger(__name__)


def current() -> DeliveryHold | None:
    return DeliveryHold.objects.first()


def begin_or_continue(mail: OutboxMail, reason: str) -> None:
    """Returns a rejected email to the queue and holds the queue, or chooses the time of the next probe. Logs once.

    While a single email was rejected, another one may be the probe at once. The rejection may be about that email
    alone, which a client can cause by entering an address.
    """
    retries.requeue(mail, reason)
    shown = _without_addresses(reason)[:ERROR_LENGTH]
    hold, is_new = DeliveryHold.objects.get_or_create(pk=1, defaults={"reason": shown, "rejected": mail.pk})
    if is_new:
        log.error(
            "the mail server rejects this installation, so all emails wait: %s. `manage.py mails test ADDRESS` says "
            "what to change; they go out by themselves once it takes one",
            shown,
        )
        return
    if mail.is_probe:
        now = timezone.now()
        pause = max(FIRST_PAUSE * 2 ** min(hold.rejections - 1, 8), now - hold.since)
        DeliveryHold.objects.filter(probe=mail.pk).update(
            reason=shown,
            rejected=mail.pk,
            rejections=F("rejections") + int(hold.rejected != mail.pk),
            probe=None,
            next_probe_at=now + min(pause, MAX_PAUSE),
        )


def end_if_probe(mail: OutboxMail) -> None:
    """Ends the hold if the email is the probe: the server has taken it, or judged this email alone.

    If a single other email was rejected, that counts as its attempt. It may be the only one that the server rejects,
    and would hold the queue again and again otherwise.
    """
    hold = DeliveryHold.objects.filter(probe=mail.pk).first() if mail.is_probe else None
    if hold is None or not DeliveryHold.objects.filter(probe=mail.pk).delete()[0]:
        return
    if hold.rejections == 1:
        retries.count_attempt(hold.rejected)
    log.warning("the mail server takes emails again, after %s", timezone.now() - hold.since)


def release_probe(mail: OutboxMail) -> None:
    """Lets the relay choose another probe, as this one has become obsolete."""
    if mail.is_probe:
        DeliveryHold.objects.filter(probe=mail.pk).update(probe=None, next_probe_at=timezone.now())


def probe_soon() -> None:
    """Lets the relay probe now: an operator may have corrected the cause."""
    DeliveryHold.objects.update(next_probe_at=timezone.now())


def has_server_taken_another(mail: OutboxMail) -> bool:
    """Returns whether the server took another email within the last minute: then it accepts this installation."""
    now = timezone.now()
    sent = OutboxMail.objects.filter(state=State.SENT, created_at__gt=now - timedelta(days=1))
    return sent.filter(sent_at__gt=now - RECENTLY).exclude(pk=mail.pk).exists()


def choose_probe(hold: DeliveryHold) -> OutboxMail | None:
    """Chooses the email to probe with now, for one caller alone; None if it is too early or another caller did.

    While a single email was rejected, chooses another one at once, if there is one. Ends the hold if no email waits.
    """
    now = timezone.now()
    is_time = hold.next_probe_at <= now
    if not is_time and (hold.rejections > 1 or hold.probe):
        return None
    due = OutboxMail.objects.filter(state=State.PENDING, next_attempt_at__lte=now).order_by("-queue", "next_attempt_at")
    chosen = due.exclude(pk=hold.rejected).first()
    if chosen is None and is_time and hold.since + FIRST_PAUSE <= now:
        chosen = due.first()
    waiting = DeliveryHold.objects.filter(probe=hold.probe, next_probe_at=hold.next_probe_at)
    if chosen is None and not OutboxMail.objects.filter(state__in=outbox.UNSENT).exists():
        waiting.delete()  # the rejected email was cancelled or deleted, so none waits
    if chosen is None or not waiting.update(probe=chosen.pk, next_probe_at=now + outbox.LEASE):
        return None
    return chosen


def _without_addresses(reason: str) -> str:
    """Removes email addresses, as the row outlives the email and its user."""
    return re.sub(r"[^\s<>]+@[^\s<>]+", "…", reason)
