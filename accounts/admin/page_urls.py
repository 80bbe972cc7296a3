"""The URLs of the panel's pages."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme


def users(**query: Any) -> str:
    return _address("accounts_user_changelist", query)


def events(**query: Any) -> str:
    return _address("accounts_auditevent_changelist", query)


def user(user_id: Any) -> str:
    return reverse("admin:accounts_user_change", args=[user_id])


def login(following: str) -> str:
    return _address("login", {"next": following})


def second_step(following: str) -> str:
    return _address("second_step", {"next": following})


def own_factors(following: str = "") -> str:
    return _address("second_factor", {"next": following} if following else {})


def confirm(following: str) -> str:
    return _address("confirm", {"next": following})


def following(request: HttpRequest) -> str:
    """Returns the page that the request names as the next one, or the overview if it is on another site."""
    named = request.POST.get("next") or request.GET.get("next")
    is_ours = url_has_allowed_host_and_scheme(named, {request.get_host()}, require_https=request.is_secure())
    return named if named and is_ours else reverse("admin:index")


def _address(name: str, query: dict[str, Any]) -> str:
    address = reverse(f"admin:{name}")
    return f"{address}?{urlencode(query)}" if query else address
