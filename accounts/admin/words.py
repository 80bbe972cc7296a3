"""How the panel says things: times, states, people and events, as text that a template may print."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit, invitations
from accounts.admin import links
from accounts.invitations import State
from accounts.models import User

NOTHING = format_html('<span class="nothing">{}</span>', "–")
RECENT = timedelta(days=30)
UNTOLD = {"session", "mail"}  # ids say nothing to people
LABELS = {
    "role": gettext_lazy("role"),
    "old": gettext_lazy("old"),
    "new": gettext_lazy("new"),
    "reason": gettext_lazy("reason"),  # of suspensions from before it stood with the user
    "until": gettext_lazy("until"),
    "fields": gettext_lazy("fields"),
    "filters": gettext_lazy("filters"),
    "code": gettext_lazy("code"),
    "scope": gettext_lazy("limit"),
    "sessions": gettext_lazy("sessions"),
    "permissions": gettext_lazy("permissions"),
    "mail_kind": gettext_lazy("mail"),
    "kid": gettext_lazy("key"),
    "lines_done": gettext_lazy("lines done"),
    "created": gettext_lazy("created"),
    "updated": gettext_lazy("updated"),
    "skipped": gettext_lazy("skipped"),
    "rejected": gettext_lazy("rejected"),
    "warnings": gettext_lazy("warnings"),
}


def moment(at: datetime | None) -> str:
    """How long ago it was or when it will be, or its day when that is far away; the exact time is a pointer away."""
    if at is None:
        return NOTHING
    exact = f"{date_format(timezone.localtime(at), 'DATETIME_FORMAT')} {timezone.get_current_timezone_name()}"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact, _age(at))


def badge(text: object, tone: str = "") -> SafeString:
    """A state at a glance; tone is one of good, warn, bad, role or empty."""
    return format_html('<span class="badge {}">{}</span>', tone, text)


def badges(user: User) -> SafeString:
    """How the user stands; `user.invitation` saves a query where a list has it (invitations.with_states)."""
    found = [] if user.is_active else [_suspended(user)]
    if not user.has_usable_password():
        found.append(_invitation(State(getattr(user, "invitation", None) or invitations.state(user))))
    elif not user.email_verified:
        found.append(badge(_("Unverified"), "warn"))
    return format_html_join(" ", "{}", [(one,) for one in found or [badge(_("Active"), "good")]])


def person(email: str | None, user_id: UUID | None) -> str:
    """A link to somebody; the id alone stands for those who are gone."""
    if user_id is None:
        return NOTHING
    if email is None:
        return format_html('<code title="{}">…{}</code>', user_id, str(user_id)[-6:])
    return format_html('<a href="{}">{}</a>', links.user(user_id), email)


def event(kind: str) -> str:
    """What happened, without what is said to programmers after the semicolon."""
    return str(audit.KINDS.get(kind, kind)).split(";")[0]


def details(data: dict[str, Any]) -> str:
    """The data of an event in one line."""
    told = {
        name: value for name, value in audit.ordered(data).items() if name not in UNTOLD and value not in ("", None, [])
    }
    if "until" in told:
        told["until"] = date_format(datetime.fromisoformat(told["until"]), "SHORT_DATETIME_FORMAT")
    return " · ".join(f"{LABELS.get(name, name)}: {_value(value)}" for name, value in told.items())


def _suspended(user: User) -> SafeString:
    if user.suspended_until is None:
        return badge(_("Suspended"), "bad")
    return badge(_("Suspended until %s") % date_format(user.suspended_until, "SHORT_DATETIME_FORMAT"), "bad")


def _invitation(state: State) -> SafeString:
    said = {
        State.SENT: badge(_("Invited"), "warn"),
        State.EXPIRED: badge(_("Invitation expired"), "bad"),
        State.REVOKED: badge(_("Invitation taken back")),
    }
    return said.get(state, badge(_("No password"), "warn"))


def _value(value: Any) -> str:
    is_list = isinstance(value, Iterable) and not isinstance(value, str | dict)
    return ", ".join(map(str, value)) if is_list else str(value)


def _age(at: datetime) -> str:
    age = timezone.now() - at
    if abs(age) > RECENT:
        return date_format(timezone.localtime(at), "DATE_FORMAT")
    if abs(age) < timedelta(minutes=1):
        return _("just now")
    return _("in %s") % timeuntil(at, depth=1) if age < timedelta() else _("%s ago") % timesince(at, depth=1)
