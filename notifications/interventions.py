"""What people do about mails of the outbox: send them again, and cancel them; each is in the audit trail."""

from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy, gettext_noop

from accounts import audit
from accounts.models import User
from notifications import doorbell, hold, outbox
from notifications.models import OutboxMail, State

AT_ONCE = 50  # in one transaction, which on SQLite keeps everybody else from writing

# Why nothing can be done about a mail that is not in the state for it.
OBSTACLES = {
    State.SENDING: gettext_lazy("It is being sent now."),
    State.SENT: gettext_lazy("It was sent already."),
    State.FAILED: gettext_lazy("Nobody tries to send it any more."),
    State.CANCELLED: gettext_lazy("It is cancelled already."),
}


def send_again(mails: QuerySet[OutboxMail], *, actor: User | None) -> int:
    """Owes those anew that failed, were cancelled or wait for their next try; returns how many."""
    number = _each(mails, outbox.retry, "mail:retried", actor)
    hold.probe_soon()
    doorbell.ring()
    return number


def cancel(mails: QuerySet[OutboxMail], *, actor: User | None) -> int:
    """Owes those no more that were not sent yet; returns how many."""
    reason = gettext_noop("An administrator cancelled it.") if actor else gettext_noop("An operator cancelled it.")
    return _each(mails, lambda mail: outbox.cancel(mail, reason), "mail:cancelled", actor)


def _each(
    mails: QuerySet[OutboxMail], deed: Callable[[QuerySet[OutboxMail]], int], event: str, actor: User | None
) -> int:
    ids = list(mails.order_by("pk").values_list("pk", flat=True))
    return sum(_some(ids[start : start + AT_ONCE], deed, event, actor) for start in range(0, len(ids), AT_ONCE))


@transaction.atomic
def _some(ids: list[UUID], deed: Callable[[QuerySet[OutboxMail]], int], event: str, actor: User | None) -> int:
    """One by one, as only the row itself tells whether there was something left to be done, and to be recorded."""
    done = 0
    for mail in OutboxMail.objects.filter(pk__in=ids).order_by("pk"):
        if deed(OutboxMail.objects.filter(pk=mail.pk)):
            audit.record(event, mail.user_id, actor=actor, mail=str(mail.pk), mail_kind=mail.kind)
            done += 1
    return done
