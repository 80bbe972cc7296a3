"""The first page: numbers that need attention, charts of the last 30 days, and the latest events.

Each number links to its list. Counting a million users takes a while, so a process counts once a minute, and past days
once a day. The page says how old its numbers may be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.admin import page_urls, recent_events
from accounts.admin.base import has_permission
from accounts.admin.charts import Chart, cached_count, daily_chart
from accounts.admin.quick_filters import filter_users
from accounts.models import AuditEvent, User

LOGIN = "session:opened"


@dataclass(frozen=True)
class Tile:
    """A number with the URL of its list; `tone` is warn, bad or ""."""

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
    """Registers a provider of one more number; it returns None if the actor may not see it."""
    _providers.append(provider)
    return provider


def context(request: HttpRequest) -> dict[str, Any]:
    """Returns the contents of the page, as far as the actor may see them."""
    tiles = _user_tiles() if has_permission(request, "users.view") else []
    return {
        "tiles": tiles + [tile for provider in _providers if (tile := provider(request))],
        "charts": _charts(request),
        "latest": recent_events.latest(request) if has_permission(request, "audit.view") else None,
    }


def _user_tiles() -> list[Tile]:
    return [
        Tile(_("Users"), cached_count("users", User.objects.all), page_urls.users()),
        _quick_filter_tile(_("New this week"), "new"),
        _quick_filter_tile(_("Unconfirmed"), "unverified", "warn"),
        _quick_filter_tile(pgettext("users", "Suspended"), "suspended", "bad"),
        _unprotected_admins_tile(),
    ]


def _unprotected_admins_tile() -> Tile:
    number = cached_count("unprotected", lambda: filter_users(User.objects.all(), "admins").filter(mfa_enabled=False))
    address = page_urls.users(show="admins", mfa_enabled__exact=0)
    return Tile(_("Administrators without a second factor"), number, address, "warn")


def _quick_filter_tile(label: str, name: str, tone: str = "") -> Tile:
    number = cached_count(name, lambda: filter_users(User.objects.all(), name))
    return Tile(label, number, page_urls.users(show=name), tone)


def _charts(request: HttpRequest) -> list[Chart]:
    charts = []
    if has_permission(request, "users.view"):
        charts.append(daily_chart("sign-ups", _("Sign-ups"), User.objects.all(), lambda day: page_urls.users(day=day)))
    if has_permission(request, "audit.view"):
        logins = AuditEvent.objects.filter(kind=LOGIN)
        charts.append(daily_chart("logins", _("Logins"), logins, lambda day: page_urls.events(kind=LOGIN, day=day)))
    return charts
