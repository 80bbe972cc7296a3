"""The lists on a user's page: second factors, sessions, events, and those of other packages.

A package registers a list with `on_user_page`, as notifications does for emails.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.admin import formatting
from accounts.admin.base import get_actor, has_permission
from accounts.admin.login import get_session
from accounts.admin.user_agents import device_name
from accounts.mfa import factors, recovery_codes
from accounts.mfa.factors import Factor
from accounts.models import Session, User

ROWS = 10


@dataclass(frozen=True)
class Section:
    """A table with a title; `more` is the URL of the whole list, if there is one."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str
    more: str = ""

    @property
    def cells(self) -> list[list[tuple[str, object]]]:
        """Returns each row with its cells as (column, cell): narrow screens show the column beside the cell."""
        return [list(zip(self.columns, row, strict=True)) for row in self.rows]


Provider = Callable[[HttpRequest, User], Section | None]
_providers: list[Provider] = []


def on_user_page(provider: Provider) -> Provider:
    """Registers a provider of one more section; it returns None if the actor may not see it."""
    _providers.append(provider)
    return provider


def for_user(request: HttpRequest, user: User) -> list[Section]:
    return [section for provider in _providers if (section := provider(request, user))]


@on_user_page
def _factors(request: HttpRequest, user: User) -> Section | None:
    """Lists the second factors, and how many recovery codes are left."""
    rows = [_factor_row(factor) for factor in factors.of_user(user)]
    if rows:
        left = recovery_codes.number_left(user)
        text = ngettext("%d code left", "%d codes left", left) % left
        rows.append([_("Recovery codes"), text, formatting.EMPTY, formatting.EMPTY])
    columns = [_("Type"), _("Name"), _("Added"), _("Last used")]
    return Section("factors", _("Second factors"), columns, rows, _no_factor(user))


def _no_factor(user: User) -> str:
    if user.mfa_reset_at is None:
        return _("No second factor.")
    text = _("An administrator reset the second factors. Since %(time)s, the user must set up a new one to log in.")
    return text % {"time": date_format(timezone.localtime(user.mfa_reset_at), "DATETIME_FORMAT")}


def _factor_row(factor: Factor) -> list[object]:
    times = [formatting.relative_time(at) for at in (factor.created_at, factor.last_used_at)]
    return [factors.NAMES[factor.type], factor.name, *times]


@on_user_page
def _sessions(request: HttpRequest, user: User) -> Section | None:
    """Lists the active sessions, the last used one first."""
    if not has_permission(request, "sessions.view"):
        return None
    active = list(user.sessions.active().order_by("-last_used_at", "-id"))
    may_end = has_permission(request, "sessions.revoke") and get_actor(request).holds_permissions_of(user.role)
    rows = [_session_row(request, place, session, may_end) for place, session in enumerate(active, 1)]
    columns = ["#", _("Device"), capfirst(_("IP address")), _("Level")]
    columns += [_("Logged in"), _("Last used"), _("Expires"), ""]
    return Section("sessions", _("Sessions"), columns, rows, _("No open sessions."))


def _session_row(request: HttpRequest, place: int, session: Session, may_end: bool) -> list[object]:
    current = get_session(request)
    name = format_html('<span title="{}">{}</span>', session.user_agent, device_name(session.user_agent))
    if current and current.pk == session.pk:
        name = format_html("{} {}", name, formatting.badge(_("This session"), "good"))
    times = [formatting.relative_time(at) for at in (session.created_at, session.last_used_at, session.ends_at)]
    context = {"session": session, "name": device_name(session.user_agent)}
    button = render_to_string("admin/accounts/user/end_session.html", context, request) if may_end else ""
    return [place, name, session.ip or formatting.EMPTY, session.acr, *times, button]
