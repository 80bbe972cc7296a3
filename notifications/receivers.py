"""Which event owes which mail, in one table, and which event takes owed mails back."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts import batches, pruning, signals, throttling
from accounts.addresses import canonical_email
from accounts.models import Session, User
from notifications import mail_folder, outbox, publisher
from notifications.mails import KINDS, WITH_LINK
from notifications.models import OutboxMail, Queue

EXPORTED = (
    *("id", "kind", "email", "data", "queue", "state", "attempts"),
    *("next_attempt_at", "created_at", "sent_at", "last_error"),
)
UNASKED = {"welcome", *(name for name, kind in KINDS.items() if kind.is_notice)}


class Owed(NamedTuple):
    """A mail to an address; its user is named only where it is no secret that there is one."""

    kind: str
    email: str
    user: User | None = None
    data: dict[str, Any] | None = None
    queue: Queue = Queue.NOW


def _change_requested(user: User, new_email: str) -> list[Owed]:
    """The same rows for a free and for a taken address, as the user sees them in their export; see mails.compose()."""
    return [Owed("email_change", new_email, user), Owed("email_changed", user.email, user, {"stage": "requested"})]


def _session_opened(user: User, session: Session) -> list[Owed]:
    """Only for an address from which the user did not get in before."""
    known = Session.objects.filter(user=user, ip=session.ip).exclude(pk=session.pk)
    if not settings.NEW_LOGIN_MAIL or known.exists():
        return []
    return [Owed("new_login", user.email, user, {"at": timezone.now().isoformat(), "ip": session.ip})]


MAILS: list[tuple[Signal, Callable[..., list[Owed]]]] = [
    (signals.user_registered, lambda user: [Owed("welcome", user.email, user)]),
    (signals.registration_repeated, lambda email: [Owed("already_registered", email)]),
    (signals.email_verification_requested, lambda email: [Owed("verify_email", email)]),
    (signals.password_reset_requested, lambda email: [Owed("password_reset", email)]),
    (signals.login_blocked, lambda email: [Owed("login_blocked", email)]),
    (signals.password_changed, lambda user: [Owed("password_changed", user.email, user)]),
    (signals.email_change_requested, _change_requested),
    (
        signals.email_changed,
        lambda user, old_email: [Owed("email_changed", old_email, user, {"stage": "confirmed"})],
    ),
    # They come by the thousand, from imports and clients of the API, and nobody sits waiting for one.
    (signals.user_invited, lambda user: [Owed("invitation", user.email, user, queue=Queue.BULK)]),
    (signals.session_opened, _session_opened),
]


def connect() -> None:
    """What ends links comes first, so that it does not reach the mails that its own event owes."""
    for signal, reaction in (
        (signals.password_changed, _end_links),
        (signals.email_changed, _end_links),
        (signals.email_changed, _keep_in_mind),
        (signals.user_suspended, _end_links),
        (signals.registration_withdrawn, _end_links),
        (signals.email_verified, _end_moves),
        (signals.invitation_revoked, _end_links),
        (signals.user_leaving, _leave),
        (signals.user_deleted, _forget),
        (signals.personal_data_wanted, _tell),
    ):
        signal.connect(reaction, dispatch_uid=f"notifications.{reaction.__name__}")
    for signal, mails in MAILS:
        signal.connect(_owing(mails), weak=False, dispatch_uid="notifications.owe")


def _owing(mails: Callable[..., Iterable[Owed]]) -> Callable[..., None]:
    def owe(sender: object, signal: Signal, **arguments: Any) -> None:
        for owed in mails(**arguments):
            _owe(owed)

    return owe


def _owe(owed: Owed) -> None:
    if _is_too_much(owed):
        return
    mail = outbox.put(owed.kind, email=owed.email, user=owed.user, data=owed.data, queue=owed.queue)

    def dispatch() -> None:
        publisher.dispatch(mail.pk, mail.queue)

    transaction.on_commit(dispatch, robust=True)


def _is_too_much(owed: Owed) -> bool:
    """Anybody may open an account at somebody else's address; what they do there must not flood that mailbox.

    What an owner asks for is counted where they ask for it, and whoever confirmed an address is told everything.
    """
    is_a_stranger = owed.user is not None and not owed.user.email_verified
    return is_a_stranger and owed.kind in UNASKED and not throttling.may_tell(owed.email)


def _end_links(sender: object, user: User, old_email: str = "", **_: Any) -> None:
    """Mails that are still owed must not bring new links after the older ones were ended."""
    links = _theirs(user, old_email).filter(kind__in=WITH_LINK)
    outbox.cancel(
        links, gettext_noop("A new password or address, a suspension or a revoked invitation ended its link.")
    )


def _end_moves(sender: object, user: User, **_: Any) -> None:
    """The owner confirmed the address: a link that somebody asked for before must not move the account away."""
    moves = OutboxMail.objects.filter(user=user, kind="email_change")
    outbox.cancel(moves, gettext_noop("The address was confirmed meanwhile."))


def _keep_in_mind(sender: object, user: User, old_email: str, **_: Any) -> None:
    """Mails to the old address that name nobody are found by it no more: they have to be, when the user leaves."""
    OutboxMail.objects.filter(user=None, email_key=canonical_email(old_email)).update(user=user)


def _leave(sender: object, user: User, **_: Any) -> None:
    """Their emails, and the files of these. A file that cannot be deleted or is being written is left to `prune`."""
    ids = set(_theirs(user).values_list("pk", flat=True))
    pruning.delete(_theirs(user))
    mail_folder.remove(ids)


def _forget(sender: object, user: User, **_: Any) -> None:
    """What came since _leave()."""
    ids = set(_theirs(user).values_list("pk", flat=True))
    _theirs(user).delete()
    transaction.on_commit(lambda: mail_folder.remove(ids), robust=True)


def _tell(sender: object, user: User, **_: Any) -> dict[str, Iterator[list[dict[str, Any]]]]:
    """Not what another user was told at an address that is theirs now, as that holds where the other one signed in."""
    named, unnamed = OutboxMail.objects.filter(user=user), OutboxMail.objects.filter(user=None)
    pages = batches.newest_first(named, unnamed.filter(email_key=user.email_key))
    return {"mails": ([_exported(mail) for mail in page] for page in pages)}


def _exported(mail: OutboxMail) -> dict[str, Any]:
    return {name: getattr(mail, name) for name in EXPORTED} | {"fallback_language": mail.language}


def _theirs(user: User, old_email: str = "") -> QuerySet[OutboxMail]:
    """Those to their address as well, unless another user asked to move there: that is data of the other user, and
    what becomes of it must not tell them whose the address is."""
    keys = [user.email_key, canonical_email(old_email)] if old_email else [user.email_key]
    return OutboxMail.objects.filter(Q(user=user) | Q(~Q(kind="email_change"), email_key__in=keys))
