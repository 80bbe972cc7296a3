"""Holds the queue while the mail server refuses this installation, and lets it go once the server takes an email.

Every email would be refused alike, so none is tried, and none uses up an attempt, but for one at a time: the probe. The
relay chooses it; a claim takes no other email meanwhile. All processes and hosts share the row.
"""

import logging
import re
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from notifications import outbox
from notifications.models import ERROR_LENGTH, DeliveryHold, OutboxMail, State

FIRST_PAUSE = timedelta(seconds=30)  # doubled after each refusal, up to the longest
LONGEST_PAUSE = timedelta(minutes=5)
JUST_NOW = timedelta(seconds=60)

log = logging.getLogger(__name__)


def current() -> DeliveryHold | None:
    return DeliveryHold.objects.first()


def begin_or_go_on(mail: OutboxMail, reason: str) -> None:
    """The server has refused us with this email: returns it to the queue, and holds the queue. Logs an error once.

    As long as no other email was refused, the next other one may be tried at once: the refusal may yet be about this
    one alone, which anybody may have caused who typed its address.
    """
    outbox.put_back(mail, reason)
    shown = _without_addresses(reason)[:ERROR_LENGTH]
    hold, is_new = DeliveryHold.objects.get_or_create(pk=1, defaults={"reason": shown, "refused": mail.pk})
    if is_new:
        log.error(
            "the mail server refuses this installation, so all emails wait: %s. `manage.py mails test ADDRESS` says "
            "what to change; they go out by themselves once it takes one",
            shown,
        )
        return
    if mail.is_probe:
        now = timezone.now()
        pause = max(FIRST_PAUSE * 2 ** min(hold.refusals - 1, 8), now - hold.since)
        DeliveryHold.objects.filter(probe=mail.pk).update(
            reason=shown,
            refused=mail.pk,
            refusals=F("refusals") + int(hold.refused != mail.pk),
            probe=None,
            next_probe_at=now + min(pause, LONGEST_PAUSE),
        )


def end(mail: OutboxMail) -> None:
    """The server has answered the probe as one of many. If a single other email was refused before, that counts as an
    attempt of its own: it may be the only one that the server refuses, and must not hold the queue again and again."""
    hold = DeliveryHold.objects.filter(probe=mail.pk).first() if mail.is_probe else None
    if hold is None or not DeliveryHold.objects.filter(probe=mail.pk).delete()[0]:
        return
    if hold.refusals == 1:
        outbox.postpone_waiting(hold.refused)
    log.warning("the mail server takes emails again, after %s", timezone.now() - hold.since)


def try_another(mail: OutboxMail) -> None:
    """The probe turned out not to be wanted any more."""
    if mail.is_probe:
        DeliveryHold.objects.filter(probe=mail.pk).update(probe=None, next_probe_at=timezone.now())


def probe_soon() -> None:
    """An operator may have mended the cause."""
    DeliveryHold.objects.update(next_probe_at=timezone.now())


def took_another_just_now(mail: OutboxMail) -> bool:
    """Whether the server has taken some other email within the last minute: then it does not refuse us."""
    now = timezone.now()
    sent = OutboxMail.objects.filter(state=State.SENT, created_at__gt=now - timedelta(days=1))
    return sent.filter(sent_at__gt=now - JUST_NOW).exclude(pk=mail.pk).exists()


def choose_probe(hold: DeliveryHold) -> OutboxMail | None:
    """The email that may be tried now, chosen by one caller alone; None if none may yet.

    While a single email was refused that is another one, at once, if there is one.
    """
    now = timezone.now()
    is_time = hold.next_probe_at <= now
    if not is_time and (hold.refusals > 1 or hold.probe):
        return None
    due = OutboxMail.objects.filter(state=State.OWED, next_attempt_at__lte=now).order_by("-queue", "next_attempt_at")
    chosen = due.exclude(pk=hold.refused).first()
    if chosen is None and is_time and hold.since + FIRST_PAUSE <= now:
        chosen = due.first()
    waiting = DeliveryHold.objects.filter(probe=hold.probe, next_probe_at=hold.next_probe_at)
    if chosen is None and not OutboxMail.objects.filter(state__in=outbox.UNSENT).exists():
        waiting.delete()  # what was refused is cancelled or deleted, so nothing waits
    if chosen is None or not waiting.update(probe=chosen.pk, next_probe_at=now + outbox.LEASE):
        return None
    return chosen


def _without_addresses(reason: str) -> str:
    """The row outlives the email and its user."""
    return re.sub(r"[^\s<>]+@[^\s<>]+", "…", reason)
