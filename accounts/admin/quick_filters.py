"""The quick filters above the list of users."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts import invitations, permissions
from accounts.listing.filters import UserFilter
from accounts.models import User

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

WEEK = timedelta(days=7)

QUICK_FILTERS: dict[str, "StrPromise"] = {
    "new": _("New this week"),
    "unverified": _("Unconfirmed"),
    "suspended": pgettext_lazy("users", "Suspended"),
    "admins": _("Administrators"),
    "invited": pgettext_lazy("users", "Invited"),
}


def filter_users(users: QuerySet[User], name: str) -> QuerySet[User]:
    """Returns the users that the quick filter shows; all of them if its name is unknown."""
    if name == "invited":
        return invitations.filter_open(users)
    given = {
        "new": {"created_after": (timezone.now() - WEEK).isoformat()},
        "unverified": {"email_verified": "false"},
        "suspended": {"is_active": "false"},
        "admins": {"role": permissions.ADMIN},
    }
    found: QuerySet[User] = UserFilter(given.get(name, {}), queryset=users).qs
    return found


class QuickFilter(admin.SimpleListFilter):
    title = _("quick filters")
    parameter_name = "show"
    template = "admin/quick_filters.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(QUICK_FILTERS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return filter_users(queryset, self.value() or "")
