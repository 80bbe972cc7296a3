"""Formats times, states, users and events for the panel, as text that is safe in a template."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.template.defaultfilters import yesno
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit, invitations
from accounts.admin import page_urls
from accounts.errors import all_errors
from accounts.invitations import State
from accounts.mfa import factors
from accounts.models import User
from accounts.models.role import MfaPolicy

EMPTY = format_html('<span class="nothing">{}</span>', "–")
RECENT = timedelta(days=30)
HIDDEN = {"session", "mail", "factor", "passkey"}  # ids, which mean nothing to the reader
LABELS = {
    "role": gettext_lazy("role"),
    "type": gettext_lazy("type"),
    "old": gettext_lazy("old"),
    "new": gettext_lazy("new"),
    "reason": gettext_lazy("reason"),  # in events written before the users table had it
    "until": gettext_lazy("until"),
    "fields": gettext_lazy("fields"),
    "filters": gettext_lazy("filters"),
    "code": gettext_lazy("code"),
    "method": gettext_lazy("method"),
    "left": gettext_lazy("left"),
    "enrol": gettext_lazy("must set up another"),
    "mfa": gettext_lazy("second factor"),
    "scope": gettext_lazy("limit"),
    "sessions": gettext_lazy("sessions"),
    "permissions": gettext_lazy("permissions"),
    "mail_kind": gettext_lazy("email"),
    "kid": gettext_lazy("key"),
    "use": gettext_lazy("use"),
    "lines_done": gettext_lazy("lines processed"),
    "created": gettext_lazy("created"),
    "updated": gettext_lazy("updated"),
    "skipped": gettext_lazy("skipped"),
    "rejected": gettext_lazy("rejected"),
    "warnings": gettext_lazy("warnings"),
}
#: The words for values. Other values are names that users chose, or names of limits, fields and permissions.
VALUE_LABELS: dict[str, dict[str, Any]] = {
    "type": factors.NAMES,
    "method": factors.NAMES | {"recovery_code": gettext_lazy("Recovery code")},
    "mfa": dict(MfaPolicy.choices),
    "code": {error.code: error.title for error in all_errors()},
    "use": {"encryption": gettext_lazy("encryption")},
}


def relative_time(at: datetime | None) -> str:
    """Returns "5 minutes ago" or "in 2 days", beyond 30 days the date; a tooltip has the exact time."""
    if at is None:
        return EMPTY
    exact = f"{date_format(timezone.localtime(at), 'DATETIME_FORMAT')} {timezone.get_current_timezone_name()}"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact, _age(at))


def badge(text: object, tone: str = "") -> SafeString:
    """Returns a coloured label; `tone` is good, warn, bad, role or ""."""
    return format_html('<span class="badge {}">{}</span>', tone, text)


def user_badges(user: User) -> SafeString:
    """Returns the states of the user. In a list, `user.invitation_state` saves a query (invitations.annotate_state)."""
    labels = [] if user.is_active else [_suspended(user)]
    if not user.has_usable_password():
        labels.append(_invitation(State(getattr(user, "invitation_state", None) or invitations.state_of(user))))
    elif not user.email_verified:
        labels.append(badge(_("Unconfirmed"), "warn"))
    return format_html_join(" ", "{}", [(label,) for label in labels or [badge(_("Active"), "good")]])


def user_link(email: str | None, user_id: UUID | None) -> str:
    """Returns a link to the user's page; without an address, the end of the id."""
    if user_id is None:
        return EMPTY
    if email is None:
        return format_html('<code title="{}">…{}</code>', user_id, str(user_id)[-6:])
    return format_html('<a href="{}">{}</a>', page_urls.user(user_id), email)


def event_label(kind: str) -> str:
    """Returns the description of the kind, without the note for programmers after the semicolon."""
    return str(audit.KINDS.get(kind, kind)).split(";")[0]


def event_details(data: dict[str, Any]) -> str:
    """Returns the data of an event in one line."""
    shown = {
        name: value for name, value in audit.ordered(data).items() if name not in HIDDEN and value not in ("", None, [])
    }
    if "until" in shown:
        shown["until"] = date_format(datetime.fromisoformat(shown["until"]), "SHORT_DATETIME_FORMAT")
    return " · ".join(f"{LABELS.get(name, name)}: {_value(name, value)}" for name, value in shown.items())


def _suspended(user: User) -> SafeString:
    if user.suspended_until is None:
        return badge(_("Suspended"), "bad")
    return badge(_("Suspended until %s") % date_format(user.suspended_until, "SHORT_DATETIME_FORMAT"), "bad")


def _invitation(state: State) -> SafeString:
    badges = {
        State.SENT: badge(_("Invited"), "warn"),
        State.EXPIRED: badge(_("Invitation expired"), "bad"),
        State.REVOKED: badge(_("Invitation revoked")),
    }
    return badges.get(state, badge(_("No password"), "warn"))


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(yesno(value))
    words = VALUE_LABELS.get(name, {})
    is_list = isinstance(value, Iterable) and not isinstance(value, str | dict)
    return ", ".join(str(words.get(str(one), one)) for one in (value if is_list else [value]))


def _age(at: datetime) -> str:
    age = timezone.now() - at
    if abs(age) > RECENT:
        return date_format(timezone.localtime(at), "DATE_FORMAT")
    if abs(age) < timedelta(minutes=1):
        return _("just now")
    return _("in %s") % timeuntil(at, depth=1) if age < timedelta() else _("%s ago") % timesince(at, depth=1)
