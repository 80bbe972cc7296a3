"""Sends emails of the outbox again and cancels them, for administrators and operators; audits each."""

from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy, gettext_noop

from accounts import audit
from accounts.models import User
from notifications import outbox
from notifications.models import OutboxMail, State
from notifications.sending import hold, retries, wake_up

BATCH_SIZE = 50  # for each transaction: on SQLite no other process can write meanwhile

# Why an email in this state can't be sent again or cancelled.
OBSTACLES = {
    State.SENDING: gettext_lazy("This email is being sent."),
    State.SENT: gettext_lazy("This email was already sent."),
    State.FAILED: gettext_lazy("This email has failed; there are no further attempts."),
    State.CANCELLED: gettext_lazy("This email is already cancelled."),
}


def send_again(mails: QuerySet[OutboxMail], *, actor: User | None) -> int:
    """Makes those of the emails pending that failed, were cancelled or wait for an attempt; returns how many."""
    number = _each(mails, retries.retry_now, "mail:retried", actor)
    hold.probe_soon()
    wake_up.notify_relay()
    return number


def cancel(mails: QuerySet[OutboxMail], *, actor: User | None) -> int:
    """Cancels those of the emails that are unsent; returns how many."""
    reason = gettext_noop("Cancelled by an administrator.") if actor else gettext_noop("Cancelled by an operator.")
    return _each(mails, lambda mail: outbox.cancel(mail, reason), "mail:cancelled", actor)


def _each(
    mails: QuerySet[OutboxMail], action: Callable[[QuerySet[OutboxMail]], int], event: str, actor: User | None
) -> int:
    ids = list(mails.order_by("pk").values_list("pk", flat=True))
    return sum(_some(ids[start : start + BATCH_SIZE], action, event, actor) for start in range(0, len(ids), BATCH_SIZE))


@transaction.atomic
def _some(ids: list[UUID], action: Callable[[QuerySet[OutboxMail]], int], event: str, actor: User | None) -> int:
    """Performs the action email by email: only its UPDATE tells whether the action changed it and is to be audited."""
    done = 0
    for mail in OutboxMail.objects.filter(pk__in=ids).order_by("pk"):
        if action(OutboxMail.objects.filter(pk=mail.pk)):
            audit.record(event, mail.user_id, actor=actor, mail=str(mail.pk), mail_kind=mail.kind)
            done += 1
    return done
