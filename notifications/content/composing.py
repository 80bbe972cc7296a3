"""Composes an email of the outbox for its recipient, in their language; writes nothing.

The caller brings the secret of the link, as it is stored nowhere: the database holds its hash. No text repeats what a
user typed: an attacker can register a stranger's address under the name of an advertisement. The address is masked.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.timesince import timesince
from django.utils.translation import gettext_noop

from accounts import one_time_tokens
from accounts.email_addresses import masked
from accounts.models import User, constant_queries
from notifications.content import rendering
from notifications.content.kinds import KINDS, WITH_LINK
from notifications.models import OutboxMail

BLANK = "…"
SAMPLE = "ana@example.com"
DELETED = gettext_noop("The user was deleted.")


class Obsolete(Exception):
    """The email has no recipient any more. The text says why, in English: it is translated where it is shown."""


@dataclass(frozen=True)
class Content:
    """The text of an email, and the address to which it goes."""

    subject: str
    text: str
    html: str
    email: str


def recipient(mail: OutboxMail) -> User:
    """Returns the user whom the email is for; for a row without a user, the present owner of the address.

    Raises Obsolete.
    """
    kind = KINDS[mail.kind]
    # `mail.user` would take ten times as long. The user may have been deleted after the row was read.
    user = constant_queries.read_user(mail.user_id) if mail.user_id else User.objects.find_by_email(mail.email)
    if user is None:
        raise Obsolete(DELETED if mail.user_id else gettext_noop("No user has this address."))
    if not user.is_active and not kind.is_notice:
        raise Obsolete(gettext_noop("The user is suspended."))
    if why := kind.why_obsolete(user, mail):
        raise Obsolete(why)
    return user


def compose(mail: OutboxMail, user: User | None, secret: str) -> Content:
    """Composes the email for the user, with the secret in its link if it has one.

    If a user wants to move to an address that another user has, that owner gets a notice instead, even while suspended.
    The user who asked must not learn this: the email has the same state, and the export shows the same token, which was
    issued for a secret that is dropped here.
    """
    if owner := _other_owner(mail):
        return _content("already_registered", owner.locale or mail.language, owner.email, "", {})
    data = _data(mail, user)
    language = (user and user.locale) or mail.language
    return _content(mail.kind, language, address(mail, user), secret if _has_link(mail.kind, data) else "", data)


def preview(mail: OutboxMail) -> Content | None:
    """Composes the email as it would be sent now, with the secret of the link blanked.

    Returns None for a kind that this version does not know: rows outlive a downgrade.
    """
    return compose(mail, mail.user or User.objects.find_by_email(mail.email), BLANK) if mail.kind in KINDS else None


def previews(name: str, language: str) -> list[Content]:
    """Composes each form of the kind from its samples, with the secrets of the links blanked."""
    return [
        _content(name, language, SAMPLE, BLANK if _has_link(name, data) else "", data) for data in KINDS[name].samples
    ]


def sample_contexts(name: str) -> list[dict[str, Any]]:
    """Returns a context for the templates of the kind, once for each of its forms."""
    return [_context(name, SAMPLE, BLANK if _has_link(name, data) else "", data) for data in KINDS[name].samples]


def has_link(mail: OutboxMail, user: User) -> bool:
    return _has_link(mail.kind, _data(mail, user))


def address(mail: OutboxMail, user: User | None) -> str:
    """Returns the address to send to. For a row without a user that is the user's own spelling.

    A stranger may have typed the spelling of the row. Some mail servers tell Ana@ from ana@, and one of the two may be
    the stranger's mailbox.
    """
    return mail.email if mail.user_id or user is None else user.email


def _content(name: str, language: str, email: str, secret: str, data: dict[str, Any]) -> Content:
    with translation.override(language):
        return Content(*rendering.render(name, language, _context(name, email, secret, data)), email)


def _context(name: str, email: str, secret: str, data: dict[str, Any]) -> dict[str, Any]:
    """Returns the context of the kind's templates, in the active language."""
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


def _data(mail: OutboxMail, user: User | None) -> dict[str, Any]:
    """Returns the row's details, with the state of the recipient's account."""
    state = {"is_confirmed": user.email_verified, "needs_password": not user.has_usable_password()} if user else {}
    return {**mail.data, **state}


def _other_owner(mail: OutboxMail) -> User | None:
    """Returns the user who has the address already to which another user wants to move."""
    if mail.kind != "email_change" or mail.user_id is None:
        return None
    return User.objects.filter(email_key=mail.email_key).exclude(pk=mail.user_id).first()


def _has_link(name: str, data: dict[str, Any]) -> bool:
    """A welcome to a confirmed address has nothing to confirm."""
    return name in WITH_LINK and not (name == "welcome" and data.get("is_confirmed"))


def _lifetime(purpose: one_time_tokens.Purpose) -> str:
    now = timezone.now()
    return timesince(now, now + one_time_tokens.lifetime(purpose)).replace("\xa0", " ")


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return f"{date_format(moment, 'DATE_FORMAT')}, {moment:%H:%M} UTC"
