"""Where things are found in the panel."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse


def users(**query: Any) -> str:
    return _list("accounts_user", query)


def events(**query: Any) -> str:
    return _list("accounts_auditevent", query)


def user(user_id: Any) -> str:
    return reverse("admin:accounts_user_change", args=[user_id])


def _list(name: str, query: dict[str, Any]) -> str:
    address = reverse(f"admin:{name}_changelist")
    return f"{address}?{urlencode(query)}" if query else address
