"""An administrator changes a user's email address, which ends sessions and links of the old address's owner."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts import login, one_time_tokens
from accounts.errors import InvalidToken
from accounts.mfa import proofs
from accounts.models import AuditEvent, Session, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from tests.conftest import PASSWORD, refused

Clients = Callable[[User], APIClient]
ME, REFRESH = "/api/v1/users/me/", "/api/v1/auth/token/refresh/"


def _in_the_panel(root: User, client: APIClient, user: User, email: str) -> None:
    panel = Client()
    panel.force_login(root)
    form = {"email": email, "full_name": user.full_name, "role": user.role_id, "locale": "", "metadata": "{}"}
    page = reverse("admin:accounts_user_change", args=[user.pk])
    assert panel.post(page, {**form, "email_verified": "on"}).status_code == 302


def _path(user: User) -> str:
    return f"/api/v1/users/{user.pk}/"


WAYS: dict[str, Callable[[User, APIClient, User, str], Any]] = {
    "patch": lambda root, client, user, email: client.patch(_path(user), {"email": email}, "json"),
    "put": lambda root, client, user, email: client.put(_path(user), {"email": email}, "json"),
    "confirmed": lambda root, client, user, email: client.patch(
        _path(user), {"email": email, "email_verified": True}, "json"
    ),
    "panel": _in_the_panel,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_sessions_and_links_end(
    way: Callable[[User, APIClient, User, str], Any], root: User, ana: User, client_of: Clients, stranger: APIClient
) -> None:
    client, anas = client_of(root), client_of(ana)
    _session, refresh = login.open_session(ana, proofs.PASSWORD)
    secret = one_time_tokens.issue(ana, Purpose.PASSWORD_RESET, request=new_id(), email=ana.email)
    way(root, client, ana, "ana@elsewhere.example")
    refused(anas.get(ME), 401, "token_not_valid")
    refused(stranger.post(REFRESH, {"refresh": refresh}, "json"), 401, "token_not_valid")
    with pytest.raises(InvalidToken):
        one_time_tokens.find(secret, Purpose.PASSWORD_RESET)
    event = AuditEvent.objects.get(kind="session:all_revoked")
    assert (event.user_id, event.actor_id, event.data) == (ana.pk, root.pk, {"sessions": 2})
    assert client.get(ME).status_code == 200
    body = {"email": "ana@elsewhere.example", "password": PASSWORD}
    assert stranger.post("/api/v1/auth/login/", body, "json").status_code == 200


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_another_spelling_of_the_same_address_ends_nothing(
    way: Callable[[User, APIClient, User, str], Any], root: User, ana: User, client_of: Clients
) -> None:
    client, anas = client_of(root), client_of(ana)
    way(root, client, ana, "Ana@Example.com")
    assert anas.get(ME).json()["email"] == "Ana@Example.com"


def test_ones_own_session_ends_as_well(root: User, person: Callable[..., User], client_of: Clients) -> None:
    """A thief who changes the address with a stolen token is signed out as well."""
    person("other", role="admin")
    client = client_of(root)
    assert client.patch(_path(root), {"email": "r@example.com", "email_verified": True}, "json").status_code == 200
    assert not Session.objects.filter(user=root).active().exists()
    refused(client.get(ME), 401, "token_not_valid")
