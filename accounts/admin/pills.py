"""Saved filters: what people look for each day, one press away above the list of users."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import invitations, roles
from accounts.filters import UserFilter
from accounts.models import User

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

WEEK = timedelta(days=7)

PILLS: dict[str, "_StrPromise"] = {
    "new": _("New this week"),
    "unverified": _("Unverified"),
    "suspended": _("Suspended"),
    "admins": _("Admins"),
    "invited": _("Invited"),
}


def narrowed(users: QuerySet[User], pill: str) -> QuerySet[User]:
    """Those of the users whom a pill shows; all of them for one that there is not."""
    if pill == "invited":
        return invitations.open_ones(users)
    given = {
        "new": {"created_after": (timezone.now() - WEEK).isoformat()},
        "unverified": {"email_verified": "false"},
        "suspended": {"is_active": "false"},
        "admins": {"role": roles.ADMIN},
    }
    found: QuerySet[User] = UserFilter(given.get(pill, {}), queryset=users).qs
    return found


class Pills(admin.SimpleListFilter):
    title = _("saved filters")
    parameter_name = "show"
    template = "admin/pills.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(PILLS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return narrowed(queryset, self.value() or "")
