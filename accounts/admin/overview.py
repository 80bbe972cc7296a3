"""The first page: how many there are of what needs a look, how the last 30 days went, and what happened last.

Each number leads to its list. At a million users counting takes a while, so a process counts once a minute, and the
days that are over once a day; the page says how old its numbers may be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from accounts.admin import history, links
from accounts.admin.base import holds
from accounts.admin.charts import Chart, chart, counted
from accounts.admin.pills import narrowed
from accounts.models import AuditEvent, User

LOGIN = "session:opened"


@dataclass(frozen=True)
class Tile:
    """A number with the address of the list of what it counts; `tone` is warn, bad or empty."""

    label: str
    value: int
    address: str
    tone: str = ""

    @property
    def shown(self) -> str:
        return number_format(self.value, force_grouping=True)


Provider = Callable[[HttpRequest], Tile | None]
_providers: list[Provider] = []


def on_overview(provider: Provider) -> Provider:
    """Registers what shows one more number, or returns None to those who may not see it."""
    _providers.append(provider)
    return provider


def context(request: HttpRequest) -> dict[str, Any]:
    """What the first page shows to whoever looks."""
    tiles = _people() if holds(request, "users.view") else []
    return {
        "tiles": tiles + [tile for provider in _providers if (tile := provider(request))],
        "charts": _charts(request),
        "latest": history.latest(request) if holds(request, "audit.view") else None,
    }


def _people() -> list[Tile]:
    return [
        Tile(_("Users"), counted("users", User.objects.all), links.users()),
        _pill(_("New this week"), "new"),
        _pill(_("Unverified"), "unverified", "warn"),
        _pill(_("Suspended"), "suspended", "bad"),
    ]


def _pill(label: str, pill: str, tone: str = "") -> Tile:
    return Tile(label, counted(pill, lambda: narrowed(User.objects.all(), pill)), links.users(show=pill), tone)


def _charts(request: HttpRequest) -> list[Chart]:
    charts = []
    if holds(request, "users.view"):
        charts.append(chart("sign-ups", _("Sign-ups"), User.objects.all(), lambda day: links.users(day=day)))
    if holds(request, "audit.view"):
        logins = AuditEvent.objects.filter(kind=LOGIN)
        charts.append(chart("logins", _("Logins"), logins, lambda day: links.events(kind=LOGIN, day=day)))
    return charts
