"""The catalogue of emails: each kind with its label, its link, and the reason for which it may have become obsolete."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts.models import User
from accounts.one_time_tokens import Purpose
from notifications.models import OutboxMail

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


def _if_moved(user: User, mail: OutboxMail) -> str:
    return "" if user.email_key == mail.email_key else gettext_noop("The user has another address now.")


def _if_confirmed(user: User, mail: OutboxMail) -> str:
    return gettext_noop("The address is confirmed.") if user.email_verified else ""


def _if_accepted(user: User, mail: OutboxMail) -> str:
    return gettext_noop("The user has already accepted.") if user.has_usable_password() else _if_uninvited(user, mail)


def _if_uninvited(user: User, mail: OutboxMail) -> str:
    return gettext_noop("The invitation was revoked.") if user.is_uninvited else _if_moved(user, mail)


def _if_theirs(user: User, mail: OutboxMail) -> str:
    return gettext_noop("The user already has this address.") if user.email == mail.email else ""


def _if_enrolled(user: User, mail: OutboxMail) -> str:
    return gettext_noop("The user has a second factor now.") if user.mfa_enabled else _if_moved(user, mail)


def _if_not_reset(user: User, mail: OutboxMail) -> str:
    """An administrator may have ended the reset meanwhile with another one, after which the password alone suffices."""
    if user.mfa_enabled or user.mfa_reset_at is not None:
        return _if_enrolled(user, mail)
    return gettext_noop("The user needs no second factor to sign in.")


def _never(user: User, mail: OutboxMail) -> str:
    return ""


@dataclass(frozen=True)
class Kind:
    """A kind of email.

    `label` names it to administrators. `purpose` is that of the token in its link, and `page` the path of the link.
    `why_obsolete` returns why the user no longer needs the email, or "". An email that `is_notice` is sent to suspended
    users, too. `samples` are details with which the kind can be previewed, once for each of its forms.
    """

    label: "StrPromise"
    purpose: Purpose | None = None
    page: str = ""
    why_obsolete: Callable[[User, OutboxMail], str] = _if_moved
    is_notice: bool = False
    samples: tuple[dict[str, Any], ...] = ({},)


KINDS = {
    "welcome": Kind(_("Welcome"), Purpose.VERIFY_EMAIL, "/verify-email", samples=({}, {"is_confirmed": True})),
    "verify_email": Kind(
        _("Confirm the address"),
        Purpose.VERIFY_EMAIL,
        "/verify-email",
        _if_confirmed,
        samples=({}, {"needs_password": True}),
    ),
    "password_reset": Kind(_("Reset the password"), Purpose.PASSWORD_RESET, "/reset-password", _if_uninvited),
    "login_blocked": Kind(_("Logins blocked"), Purpose.PASSWORD_RESET, "/reset-password", _if_uninvited),
    "password_changed": Kind(_("Password changed"), why_obsolete=_never, is_notice=True),
    "email_change": Kind(_("Confirm the new address"), Purpose.EMAIL_CHANGE, "/change-email", _if_theirs),
    "email_changed": Kind(
        _("Address changed"),
        why_obsolete=_never,
        is_notice=True,
        samples=({"stage": "requested"}, {"stage": "confirmed"}),
    ),
    "already_registered": Kind(_("Registered already")),
    "invitation": Kind(_("Invitation"), Purpose.INVITATION, "/accept-invitation", _if_accepted),
    "new_login": Kind(
        _("New login"),
        why_obsolete=_never,
        is_notice=True,
        samples=({"at": "2026-01-31T12:00:00+00:00", "ip": "192.0.2.1"},),
    ),
    # None of these shows the name of a factor, because a user may have typed it.
    "factor_added": Kind(
        _("Second factor added"),
        why_obsolete=_never,
        is_notice=True,
        samples=({"is_first": True}, {"is_first": False}),
    ),
    "factor_removed": Kind(
        _("Second factor removed"),
        why_obsolete=_never,
        is_notice=True,
        samples=({"is_reset": False}, {"is_reset": True}),
    ),
    "recovery_code_used": Kind(_("Recovery code used"), why_obsolete=_never, is_notice=True, samples=({"left": 9},)),
    "recovery_codes_made": Kind(_("New recovery codes"), why_obsolete=_never, is_notice=True),
    "second_factor_failed": Kind(_("Wrong second factor"), why_obsolete=_never, is_notice=True),
    "second_factor_due": Kind(
        _("Second factor needed"), why_obsolete=_if_enrolled, samples=({"at": "2026-01-31T12:00:00+00:00"},)
    ),
    "set_up_second_factor": Kind(
        _("Set up a second factor"), Purpose.SECOND_FACTOR, "/set-up-second-factor", _if_not_reset
    ),
}
WITH_LINK = [name for name, kind in KINDS.items() if kind.purpose]
