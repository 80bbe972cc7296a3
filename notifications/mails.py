"""The catalogue: what there is to tell, what each kind needs, and compose(), which makes a mail of a row of the outbox.

A link's secret is made here, in the moment of sending, and nowhere kept: the database holds its hash. No text of ours
shows what a user typed, as anybody may register somebody else's address under the name of an advertisement. The address
itself is shown masked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts import tokens
from accounts.addresses import masked
from accounts.models import User
from accounts.tokens import Purpose
from notifications import rendering
from notifications.durability import unsynced
from notifications.models import OutboxMail

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

BLANK = "…"
SAMPLE = "ana@example.com"
_DELETED = gettext_noop("The user was deleted.")


class NotWanted(Exception):
    """There is nobody who is to get this mail any more; the text says why, in English: it is translated when shown."""


def _moved(user: User, mail: OutboxMail) -> str:
    return "" if user.email_key == mail.email_key else gettext_noop("They have another address now.")


def _confirmed(user: User, mail: OutboxMail) -> str:
    return gettext_noop("The address is confirmed.") if user.email_verified else ""


def _accepted(user: User, mail: OutboxMail) -> str:
    return gettext_noop("They accepted already.") if user.has_usable_password() else _uninvited(user, mail)


def _uninvited(user: User, mail: OutboxMail) -> str:
    return gettext_noop("Their invitation was revoked.") if user.is_uninvited else _moved(user, mail)


def _theirs(user: User, mail: OutboxMail) -> str:
    return gettext_noop("The address is theirs already.") if user.email == mail.email else ""


def _nothing(user: User, mail: OutboxMail) -> str:
    return ""


@dataclass(frozen=True)
class Kind:
    """What a kind of mail needs.

    `label` names it to admins; `page` is where its link leads; `objection` says why somebody does not need the mail
    any more. `is_notice` marks what is told whatever has become of the account meanwhile. `samples` are details with
    which it can be shown.
    """

    label: "_StrPromise"
    purpose: Purpose | None = None
    page: str = ""
    objection: Callable[[User, OutboxMail], str] = _moved
    is_notice: bool = False
    samples: tuple[dict[str, Any], ...] = ({},)


@dataclass(frozen=True)
class Content:
    """What a mail says, and the address that it goes to."""

    subject: str
    text: str
    html: str
    email: str


KINDS = {
    "welcome": Kind(_("Welcome"), Purpose.VERIFY_EMAIL, "/verify-email", samples=({}, {"is_confirmed": True})),
    "verify_email": Kind(
        _("Confirm the address"),
        Purpose.VERIFY_EMAIL,
        "/verify-email",
        _confirmed,
        samples=({}, {"needs_password": True}),
    ),
    "password_reset": Kind(_("Reset the password"), Purpose.PASSWORD_RESET, "/reset-password", _uninvited),
    "login_blocked": Kind(_("Logins blocked"), Purpose.PASSWORD_RESET, "/reset-password", _uninvited),
    "password_changed": Kind(_("Password changed"), objection=_nothing, is_notice=True),
    "email_change": Kind(_("Confirm the new address"), Purpose.EMAIL_CHANGE, "/change-email", _theirs),
    "email_changed": Kind(
        _("Address changed"),
        objection=_nothing,
        is_notice=True,
        samples=({"stage": "requested"}, {"stage": "confirmed"}),
    ),
    "already_registered": Kind(_("Registered already")),
    "invitation": Kind(_("Invitation"), Purpose.INVITATION, "/accept-invitation", _accepted),
    "new_login": Kind(
        _("New login"),
        objection=_nothing,
        is_notice=True,
        samples=({"at": "2026-01-31T12:00:00+00:00", "ip": "192.0.2.1"},),
    ),
}
WITH_LINK = [name for name, kind in KINDS.items() if kind.purpose]


def compose(mail: OutboxMail) -> Content:
    """What the mail says now, in its reader's language, with a fresh secret where it has a link. Raises NotWanted."""
    user = _reader(mail)
    data = mail.data | _state(user)
    secret = _mint(mail, user) if _has_link(mail.kind, data) else ""
    if owner := _owner(mail):  # the secret goes nowhere: the user's export holds a token for a free address, too
        return _to_owner(mail, owner)
    return _content(mail.kind, user.locale or mail.language, _address(mail, user), secret, data)


def preview(mail: OutboxMail) -> Content | None:
    """What the mail would say now, with the link's secret blanked; nothing is written.

    None for a kind that this version does not know, as rows outlive a downgrade.
    """
    if mail.kind not in KINDS:
        return None
    if owner := _owner(mail):
        return _to_owner(mail, owner)
    user = mail.user or User.objects.with_address(mail.email)
    data = mail.data | (_state(user) if user else {})
    language = (user and user.locale) or mail.language
    secret = BLANK if _has_link(mail.kind, data) else ""
    return _content(mail.kind, language, _address(mail, user), secret, data)


def previews(name: str, language: str) -> list[Content]:
    """The mail in each of its forms, made of samples and with the links' secrets blanked; nothing is written."""
    return [
        _content(name, language, SAMPLE, BLANK if _has_link(name, data) else "", data) for data in KINDS[name].samples
    ]


def sample_contexts(name: str) -> list[dict[str, Any]]:
    """What the templates could be given, once for each form that the mail has."""
    return [_context(name, SAMPLE, BLANK if _has_link(name, data) else "", data) for data in KINDS[name].samples]


def _content(name: str, language: str, email: str, secret: str, data: dict[str, Any]) -> Content:
    with translation.override(language):
        return Content(*rendering.render(name, language, _context(name, email, secret, data)), email)


def _context(name: str, email: str, secret: str, data: dict[str, Any]) -> dict[str, Any]:
    """What the templates of a kind are given, in the language that is active."""
    kind = KINDS[name]
    home = settings.FRONTEND_URL or settings.PUBLIC_URL
    return {
        **data,
        "site": settings.SITE_NAME,
        "home": home,
        "email": masked(email),
        "forgot": f"{settings.PUBLIC_URL}/forgot-password",
        "link": f"{home}{kind.page}?token={secret}" if secret else "",
        "lifetime": _lifetime(kind.purpose) if kind.purpose else "",
        "at": _moment(data["at"]) if "at" in data else "",
    }


def _state(user: User) -> dict[str, Any]:
    """What texts say about the account of their reader."""
    return {"is_confirmed": user.email_verified, "needs_password": not user.has_usable_password()}


def _owner(mail: OutboxMail) -> User | None:
    """Who has the address already that another user wants to move to."""
    if mail.kind != "email_change" or mail.user_id is None:
        return None
    return User.objects.filter(email_key=mail.email_key).exclude(pk=mail.user_id).first()


def _to_owner(mail: OutboxMail, owner: User) -> Content:
    """Tells the owner of a taken address about the attempt, also while they are suspended: how the mail went is shown
    to the user who asked."""
    return _content("already_registered", owner.locale or mail.language, owner.email, "", {})


def _has_link(name: str, data: dict[str, Any]) -> bool:
    """Who is welcomed with an address that needs no confirmation gets no link."""
    return name in WITH_LINK and not (name == "welcome" and data.get("is_confirmed"))


def _reader(mail: OutboxMail) -> User:
    """Whom the mail is for: where the row names nobody, whoever has the address. Raises NotWanted."""
    kind = KINDS[mail.kind]
    try:
        user = mail.user or User.objects.with_address(mail.email)
    except User.DoesNotExist as fault:  # the row was read with them, and is gone like them
        raise NotWanted(_DELETED) from fault
    if user is None:
        raise NotWanted(gettext_noop("Nobody has this address."))
    if not user.is_active and not kind.is_notice:
        raise NotWanted(gettext_noop("The user is suspended."))
    if objection := kind.objection(user, mail):
        raise NotWanted(objection)
    return user


def _address(mail: OutboxMail, user: User | None) -> str:
    """Where the row names nobody, a stranger may have typed the address: only the user's own spelling is surely theirs.

    Some servers tell Ana@ from ana@, and one of the two may be the stranger's.
    """
    return mail.email if mail.user_id or user is None else user.email


def _mint(mail: OutboxMail, user: User) -> str:
    """A secret for the link. Raises NotWanted.

    What ends links (a new password or address, suspension, deletion) cancels the rows that would make new ones. Both
    lock the user, so looking at the row after that tells for certain whether it came first.
    """
    purpose = KINDS[mail.kind].purpose
    assert purpose
    with unsynced():  # an email that is not settled is composed again, with a new secret
        try:
            secret = tokens.issue(user, purpose, request=mail.pk, email=_address(mail, user))
        except tokens.Superseded as fault:
            raise NotWanted(gettext_noop("A newer one was asked for, or its link was used.")) from fault
        except User.DoesNotExist as fault:
            raise NotWanted(_DELETED) from fault
        if not OutboxMail.objects.held(mail).exists():
            raise NotWanted(gettext_noop("It was cancelled meanwhile."))
    return secret


def _lifetime(purpose: Purpose) -> str:
    now = timezone.now()
    return timesince(now, now + tokens.lifetime(purpose)).replace("\xa0", " ")


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return f"{date_format(moment, 'DATE_FORMAT')}, {moment:%H:%M} UTC"
