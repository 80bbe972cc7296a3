"""Enqueues the emails of each signal, by one table, and cancels pending emails whose links have ended."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts import batches, pruning, signals
from accounts.email_addresses import canonical_email
from accounts.limits import rate_limits
from accounts.models import Session, User
from notifications import outbox
from notifications.content.kinds import KINDS, WITH_LINK
from notifications.models import OutboxMail, Queue
from notifications.sending import mail_folder, publisher

EXPORTED = (
    *("id", "kind", "email", "data", "queue", "state", "attempts"),
    *("next_attempt_at", "created_at", "sent_at", "last_error"),
)
UNREQUESTED = {"welcome", "second_factor_due", *(name for name, kind in KINDS.items() if kind.is_notice)}


class NewEmail(NamedTuple):
    """An email to an address. Has a user only where the request may show that the address has an account."""

    kind: str
    email: str
    user: User | None = None
    data: dict[str, Any] | None = None
    queue: Queue = Queue.NOW


def _change_requested(user: User, new_email: str) -> list[NewEmail]:
    """Returns the same rows for a free and a taken address: the user's export shows them. See composing.compose()."""
    return [
        NewEmail("email_change", new_email, user),
        NewEmail("email_changed", user.email, user, {"stage": "requested"}),
    ]


def _session_opened(user: User, session: Session) -> list[NewEmail]:
    """Returns a notice unless the user has had a session from this IP address."""
    known = Session.objects.filter(user=user, ip=session.ip).exclude(pk=session.pk)
    if not settings.NEW_LOGIN_MAIL or known.exists():
        return []
    return [NewEmail("new_login", user.email, user, {"at": timezone.now().isoformat(), "ip": session.ip})]


def _second_factors_reset(user: User, must_enrol: bool) -> list[NewEmail]:
    if must_enrol:
        return [NewEmail("set_up_second_factor", user.email, user)]
    return [NewEmail("factor_removed", user.email, user, {"is_reset": True})]


EMAILS_OF_SIGNALS: list[tuple[Signal, Callable[..., list[NewEmail]]]] = [
    (signals.user_registered, lambda user: [NewEmail("welcome", user.email, user)]),
    (signals.registration_repeated, lambda email: [NewEmail("already_registered", email)]),
    (signals.email_verification_requested, lambda email: [NewEmail("verify_email", email)]),
    (signals.password_reset_requested, lambda email: [NewEmail("password_reset", email)]),
    (signals.login_blocked, lambda email: [NewEmail("login_blocked", email)]),
    (signals.password_changed, lambda user: [NewEmail("password_changed", user.email, user)]),
    (signals.email_change_requested, _change_requested),
    (
        signals.email_changed,
        lambda user, old_email: [NewEmail("email_changed", old_email, user, {"stage": "confirmed"})],
    ),
    # Imports and API clients send invitations by the thousand, and no user waits for one.
    (signals.user_invited, lambda user: [NewEmail("invitation", user.email, user, queue=Queue.BULK)]),
    (signals.session_opened, _session_opened),
    (
        signals.factor_added,
        lambda user, factor, is_first: [NewEmail("factor_added", user.email, user, {"is_first": is_first})],
    ),
    (
        signals.factor_removed,
        lambda user, factor: [NewEmail("factor_removed", user.email, user, {"is_reset": False})],
    ),
    (signals.recovery_codes_made, lambda user: [NewEmail("recovery_codes_made", user.email, user)]),
    (
        signals.recovery_code_used,
        lambda user, left: [NewEmail("recovery_code_used", user.email, user, {"left": left})],
    ),
    (signals.second_factor_failed, lambda user: [NewEmail("second_factor_failed", user.email, user)]),
    (
        signals.second_factor_due,
        lambda user, due: [NewEmail("second_factor_due", user.email, user, {"at": due.isoformat()})],
    ),
    (signals.second_factors_reset, _second_factors_reset),
]


def connect() -> None:
    """Connects the receivers. Receivers that cancel links come first, or they would cancel the new emails."""
    for signal, reaction in (
        (signals.password_changed, _cancel_links),
        (signals.email_changed, _cancel_links),
        (signals.email_changed, _attach_to_user),
        (signals.user_suspended, _cancel_links),
        (signals.registration_withdrawn, _cancel_links),
        (signals.email_verified, _cancel_email_changes),
        (signals.factor_added, _cancel_email_changes),
        (signals.invitation_revoked, _cancel_links),
        (signals.second_factors_reset, _cancel_older_resets),
        (signals.user_leaving, _delete_emails),
        (signals.user_deleted, _delete_remaining_emails),
        (signals.personal_data_requested, _export),
    ):
        signal.connect(reaction, dispatch_uid=f"notifications.{reaction.__name__}")
    for signal, mails in EMAILS_OF_SIGNALS:
        signal.connect(_enqueueing(mails), weak=False, dispatch_uid="notifications.enqueue")


def _enqueueing(mails: Callable[..., Iterable[NewEmail]]) -> Callable[..., None]:
    def enqueue(sender: object, signal: Signal, **arguments: Any) -> None:
        for email in mails(**arguments):
            _enqueue(email)

    return enqueue


def _enqueue(email: NewEmail) -> None:
    if _is_limited(email) and not rate_limits.count_notice(email.email):
        return
    mail = outbox.enqueue(email.kind, email=email.email, user=email.user, data=email.data, queue=email.queue)

    def dispatch() -> None:
        publisher.dispatch(mail.pk, mail.queue)

    transaction.on_commit(dispatch, robust=True)


def _is_limited(email: NewEmail) -> bool:
    """Returns whether a limit applies. An attacker can register a stranger's address and must not flood the mailbox.

    The use case counts emails that a client requests. A user who confirmed the address gets every notice.
    """
    return email.user is not None and not email.user.email_verified and email.kind in UNREQUESTED


def _cancel_links(sender: object, user: User, old_email: str = "", **_: Any) -> None:
    """Cancels pending emails with a link: they would bring a new link after the older ones were ended."""
    links = _of_user(user, old_email).filter(kind__in=WITH_LINK)
    outbox.cancel(
        links, gettext_noop("A new password or address, a suspension or a revoked invitation ended its link.")
    )


def _cancel_email_changes(sender: object, user: User, **_: Any) -> None:
    """Cancels emails that change the address: before the owner confirmed it or added a second factor, a stranger may
    have requested them."""
    moves = OutboxMail.objects.filter(user=user, kind="email_change")
    outbox.cancel(moves, gettext_noop("The address was confirmed or a second factor added in the meantime."))


def _cancel_older_resets(sender: object, user: User, **_: Any) -> None:
    """Cancels the links of an older reset. A newer email is enqueued only if the user must set up a factor."""
    links = OutboxMail.objects.filter(user=user, kind="set_up_second_factor")
    outbox.cancel(links, gettext_noop("The second factors were reset again in the meantime."))


def _attach_to_user(sender: object, user: User, old_email: str, **_: Any) -> None:
    """Attaches emails to the old address without a user to the user, so that deleting the account finds them."""
    OutboxMail.objects.filter(user=None, email_key=canonical_email(old_email)).update(user=user)


def _delete_emails(sender: object, user: User, **_: Any) -> None:
    """Deletes the user's emails and their files. `prune` later deletes files that can't be deleted now."""
    ids = set(_of_user(user).values_list("pk", flat=True))
    pruning.delete(_of_user(user))
    mail_folder.remove(ids)


def _delete_remaining_emails(sender: object, user: User, **_: Any) -> None:
    """Deletes the emails that came since _delete_emails()."""
    ids = set(_of_user(user).values_list("pk", flat=True))
    _of_user(user).delete()
    transaction.on_commit(lambda: mail_folder.remove(ids), robust=True)


def _export(sender: object, user: User, **_: Any) -> dict[str, Iterator[list[dict[str, Any]]]]:
    """Exports the user's emails, but none to a previous owner of the address: they hold that user's sign-in data."""
    named, unnamed = OutboxMail.objects.filter(user=user), OutboxMail.objects.filter(user=None)
    pages = batches.newest_first(named, unnamed.filter(email_key=user.email_key))
    return {
        "mails": (
            [{name: getattr(mail, name) for name in EXPORTED} | {"fallback_language": mail.language} for mail in page]
            for page in pages
        )
    }


def _of_user(user: User, old_email: str = "") -> QuerySet[OutboxMail]:
    """Finds the user's emails and those to their address, except requests of other users to move there.

    Such a request is data of the other user, who must not see by its state whose the address is.
    """
    keys = [user.email_key, canonical_email(old_email)] if old_email else [user.email_key]
    return OutboxMail.objects.filter(Q(user=user) | Q(~Q(kind="email_change"), email_key__in=keys))
