"""The lists on a user's page: their sessions, and what history and other packages add.

A package that knows more about users registers a function with `on_user_page`, as notifications does for mails.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.translation import gettext as _

from accounts.admin import words
from accounts.admin.base import actor_of, holds
from accounts.admin.devices import device
from accounts.admin.signing_in import session_of
from accounts.models import Session, User

ROWS = 10


@dataclass(frozen=True)
class Section:
    """A titled table; `more` is the address of the whole list, if there is one."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str
    more: str = ""

    @property
    def cells(self) -> list[list[tuple[str, object]]]:
        """Each row with the name of its column beside each cell, as a narrow screen shows them."""
        return [list(zip(self.columns, row, strict=True)) for row in self.rows]


Provider = Callable[[HttpRequest, User], Section | None]
_providers: list[Provider] = []


def on_user_page(provider: Provider) -> Provider:
    """Registers what shows one more section, or returns None to those who may not see it."""
    _providers.append(provider)
    return provider


def of(request: HttpRequest, user: User) -> list[Section]:
    return [section for provider in _providers if (section := provider(request, user))]


@on_user_page
def _sessions(request: HttpRequest, user: User) -> Section | None:
    """Those that live, the one used last first."""
    if not holds(request, "sessions.view"):
        return None
    living = list(user.sessions.alive().order_by("-last_used_at", "-id"))
    may_end = holds(request, "sessions.revoke") and actor_of(request).holds_role(user.role)
    rows = [_session_row(request, place, session, may_end) for place, session in enumerate(living, 1)]
    columns = ["#", _("Device"), _("Address"), _("Signed in"), _("Last used"), _("Ends"), ""]
    return Section("sessions", _("Sessions"), columns, rows, _("Signed in nowhere."))


def _session_row(request: HttpRequest, place: int, session: Session, may_end: bool) -> list[object]:
    ours = session_of(request)
    name = format_html('<span title="{}">{}</span>', session.user_agent, device(session.user_agent))
    if ours and ours.pk == session.pk:
        name = format_html("{} {}", name, words.badge(_("You, now"), "good"))
    times = [words.moment(at) for at in (session.created_at, session.last_used_at, session.ends_at)]
    context = {"session": session, "name": device(session.user_agent)}
    button = render_to_string("admin/accounts/user/end_session.html", context, request) if may_end else ""
    return [place, name, session.ip or words.NOTHING, *times, button]
