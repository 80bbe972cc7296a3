"""Filters of the lists: only those that a list offers work, and invalid values cause no server error."""

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.test import Client

from accounts import audit, login
from accounts.admin.base import PanelModelAdmin
from accounts.mfa import proofs
from accounts.models import AuditEvent, User
from notifications import outbox

Panel = Callable[[User], Client]
USERS, ROLES, SESSIONS = "/admin/accounts/user/", "/admin/accounts/role/", "/admin/accounts/session/"
EVENTS, EMAILS = "/admin/accounts/auditevent/", "/admin/notifications/outboxmail/"
EXPORT = f"{USERS}export/"

NOT_OFFERED = {
    USERS: [
        *("password", "password__gte", "password__startswith", "password__regex", "password__isnull", "password__in"),
        *("email", "email__regex", "full_name__startswith", "search_text__regex", "created_at__year", "is_active"),
        *("id__gte", "pk", "role__name", "role__name__regex", "role__id", "sessions__ip", "nothing"),
    ],
    EXPORT: ["password__gte", "email__regex", "nothing"],
    ROLES: ["name__regex", "permissions__contains", "user__password__gte"],
    SESSIONS: ["ip", "user_agent__regex", "user__email", "user__password__gte", "rotations__contains"],
    EVENTS: ["hash", "ip", "request_id__regex", "created_at__year", "data__contains"],
    EMAILS: ["email__regex", "data__contains", "last_error__regex", "queue__regex", "user__password__gte"],
}
OFFERED = {
    USERS: ["show", "day", "role__id__exact", "role__isnull", "is_active__exact", "email_verified__isnull"],
    EXPORT: ["show", "day", "role__id__exact", "is_active__exact"],
    ROLES: [],
    SESSIONS: ["alive"],
    EVENTS: ["kind", "day"],
    EMAILS: ["state", "day", "kind", "queue__exact", "queue__isnull"],
}
EVERYWHERE = ["q", "o", "p", "all", "e", "_to_field", "_popup", "_facets"]
NONSENSE = ["", "\0", "x", "(", "^(a+)+$", "99999999999", "-1", "2026-99-99", "\ud7ff", "x" * 3000]


@pytest.mark.parametrize("address", NOT_OFFERED)
def test_a_filter_that_the_list_does_not_offer_is_rejected(root: User, panel_of: Panel, address: str) -> None:
    """Without this, each answer would reveal a little about a column that the list does not show."""
    client = panel_of(root)
    for name in NOT_OFFERED[address]:
        for value in ("1", root.password, "\0", "("):
            answer = client.get(address, {name: value})
            assert answer.status_code in (302, 400), (name, value)
            assert answer.headers.get("Location") in (None, USERS, f"{address}?e=1")
    assert not AuditEvent.objects.filter(kind="users:exported").exists()


def test_users_view_reveals_nothing_about_passwords(carla: User, root: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    for start in (root.password[:20], "nothing"):
        page = client.get(USERS, {"email": root.email, "password__startswith": start}, follow=True).content.decode()
        assert root.email in page
        assert carla.email in page


@pytest.mark.parametrize("address", [USERS, ROLES, SESSIONS, EVENTS, EMAILS])
def test_every_filter_that_a_list_offers_works(root: User, ana: User, panel_of: Panel, address: str) -> None:
    client = panel_of(root)
    outbox.enqueue("welcome", email=ana.email, user=ana)
    offered = re.findall(r'href="(\?[^"]+=[^"]+)"', client.get(address).content.decode())
    assert offered
    for query in offered:
        assert client.get(address + unescape(query)).status_code == 200, query


def test_every_list_uses_our_base_class() -> None:
    assert all(isinstance(one, PanelModelAdmin) for one in admin.site._registry.values())


def test_invalid_filters_are_no_server_error_on_either_database(
    database: str, person: Callable[..., User], panel_of: Panel
) -> None:
    root = person("root", role="admin")
    client = panel_of(root)
    login.open_session(root, proofs.PASSWORD)
    audit.record("user:unlocked", root, actor=root)
    outbox.enqueue("welcome", email=root.email, user=root)
    for address, names in OFFERED.items():
        for query in ({name: value} for name in [*names, *EVERYWHERE] for value in NONSENSE):
            assert client.get(address, query).status_code in (200, 302, 400), f"{address}?{urlencode(query)}"


def test_an_invalid_search_exports_no_users(root: User, panel_of: Panel) -> None:
    client = panel_of(root)
    answer = client.get(EXPORT, {"q": "\0"})
    assert (answer.status_code, answer.headers["Location"]) == (302, USERS)
    assert "Null characters are not allowed." in client.get(USERS, {"q": "\0"}, follow=True).content.decode()
    assert not AuditEvent.objects.filter(kind="users:exported").exists()


@pytest.mark.parametrize("chosen", ["x", "zz", "\0", "1", "99999999999999999999"])
def test_an_action_on_an_invalid_id_is_rejected(root: User, panel_of: Panel, chosen: str) -> None:
    client = panel_of(root)
    for address, action in ((USERS, "suspend"), (SESSIONS, "end"), (EMAILS, "cancel")):
        answer = client.post(address, {"action": action, "_selected_action": [chosen], "confirmed": "yes"})
        assert answer.status_code == 400
    assert not AuditEvent.objects.exclude(kind="session:opened").exists()


@pytest.mark.parametrize("path", ["r/1/x/", f"r/1/{'0' * 32}/", "accounts/user/x/change/", "accounts/user/%00/delete/"])
def test_an_unknown_path_is_no_server_error(root: User, panel_of: Panel, path: str) -> None:
    assert panel_of(root).get(f"/admin/{path}").status_code in (302, 404)
