"""UserManager's own permissions count only once the user has confirmed their address."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts import login, permissions, users
from accounts.errors import LastAdmin
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, User
from notifications.models import OutboxMail
from tests.api.requests import receive_token
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

Clients = Callable[[User], APIClient]

ME, USERS = "/api/v1/users/me/", "/api/v1/users/"


@pytest.fixture
def dora(person: Callable[..., User], role: Callable[..., Role]) -> User:
    """Returns a user with every permission that a role can have, and an unconfirmed address."""
    role("everything", *permissions.PERMISSIONS, "billing.refund")
    return person("dora", role="everything", email_verified=False)


@pytest.fixture
def unconfirmed_root(root: User, person: Callable[..., User]) -> User:
    """Returns a second administrator, with an unconfirmed address."""
    return person("rita", role="admin", email_verified=False)


def confirm(user: User) -> None:
    users.update(user, actor=None, email_verified=True)


def permissions_in_token(user: User) -> list[str]:
    """Returns the permissions in an access token of the user."""
    session, _refresh = login.open_session(user, proofs.PASSWORD)
    claims = jwt.decode(access_tokens.issue(session), options={"verify_signature": False})
    found: list[str] = claims["permissions"]
    return found


REQUESTS: dict[str, Callable[[APIClient, User], Any]] = {
    "users": lambda client, ana: client.get(USERS),
    "add": lambda client, ana: client.post(USERS, {"email": "new@example.com"}, "json"),
    "see": lambda client, ana: client.get(f"{USERS}{ana.pk}/"),
    "change": lambda client, ana: client.patch(f"{USERS}{ana.pk}/", {"full_name": "Changed"}, "json"),
    "suspend": lambda client, ana: client.post(f"{USERS}{ana.pk}/suspend/"),
    "roles": lambda client, ana: client.get("/api/v1/roles/"),
    "role": lambda client, ana: client.post("/api/v1/roles/", {"name": "new"}, "json"),
    "sessions": lambda client, ana: client.get(f"{USERS}{ana.pk}/sessions/"),
    "sign out": lambda client, ana: client.delete(f"{USERS}{ana.pk}/sessions/"),
    "audit": lambda client, ana: client.get("/api/v1/audit/"),
    "audit of one": lambda client, ana: client.get(f"{USERS}{ana.pk}/audit/"),
    "delete": lambda client, ana: client.delete(f"{USERS}{ana.pk}/"),
}


@pytest.mark.parametrize("name", ["dora", "unconfirmed_root"])
def test_the_permissions_count_from_the_confirmation_on(
    name: str, ana: User, client_of: Clients, request: pytest.FixtureRequest
) -> None:
    user: User = request.getfixturevalue(name)
    client, events = client_of(user), AuditEvent.objects.count()
    before = User.objects.filter(pk=ana.pk).values().get()
    for ask in REQUESTS.values():
        assert ask(client, ana).status_code in (403, 404)
    assert User.objects.filter(pk=ana.pk).values().get() == before
    assert AuditEvent.objects.count() == events
    confirm(user)
    for ask in REQUESTS.values():
        assert ask(client, ana).status_code in (200, 201, 204)


def test_tokens_hold_only_permissions_that_count(dora: User, unconfirmed_root: User) -> None:
    """The operator's permissions always count. `*` does not, because it includes UserManager's own."""
    assert permissions_in_token(dora) == ["billing.refund"]
    assert permissions_in_token(unconfirmed_root) == []
    assert not unconfirmed_root.has_perm("billing.refund")
    for user in (dora, unconfirmed_root):
        confirm(user)
        user.refresh_from_db()
    assert permissions_in_token(dora) == sorted([*permissions.PERMISSIONS, "billing.refund"])
    assert permissions_in_token(unconfirmed_root) == ["*"]


def test_users_cannot_mark_their_own_address_as_confirmed(dora: User, client_of: Clients) -> None:
    answer = client_of(dora).patch(f"{USERS}{dora.pk}/", {"email_verified": True, "full_name": "Dora D."}, "json")
    assert (answer.status_code, answer.json()["full_name"]) == (200, "Dora D.")
    assert answer.json()["email_verified"] is False


@pytest.mark.parametrize("path", [f"{USERS}{{}}/", ME])
def test_users_keep_access_to_their_own_account(path: str, dora: User, client_of: Clients) -> None:
    client = client_of(dora)
    assert client.patch(path.format(dora.pk), {"full_name": "D."}, "json").json()["full_name"] == "D."
    assert client.delete(ME, {"current_password": PASSWORD}, "json").status_code == 204


def test_comparisons_of_permissions_use_the_whole_role(
    dora: User, unconfirmed_root: User, carla: User, client_of: Clients
) -> None:
    """Without this, a manager could change the address of an unconfirmed administrator and take over the account."""
    client = client_of(carla)
    for user in (dora, unconfirmed_root):
        refused(client.patch(f"{USERS}{user.pk}/", {"email": "carla+1@example.com"}, "json"), 403, "permission_denied")
        refused(client.post(f"{USERS}{user.pk}/password-reset/"), 403, "permission_denied")


def test_a_squatter_gets_nothing_with_a_role(root: User, stranger: APIClient, client_of: Clients) -> None:
    body = {"email": "sara@example.com", "password": OTHER_PASSWORD}
    squatted = stranger.post("/api/v1/auth/register/", body, "json").json()
    squatter = APIClient()
    squatter.credentials(
        HTTP_AUTHORIZATION=f"Bearer {stranger.post('/api/v1/auth/login/', body, 'json').json()['access']}"
    )
    assert client_of(root).patch(f"{USERS}{squatted['id']}/", {"role": "admin"}, "json").json()["role"] == "admin"
    refused(squatter.get(USERS), 403, "permission_denied")
    assert squatter.get(ME).json()["role"] == "admin"


def test_a_squatter_cannot_confirm_another_address_instead(
    root: User, client_of: Clients, person: Callable[..., User], role: Callable[..., Role]
) -> None:
    """The link of an earlier request may be emailed after the promotion, if the mail server was unavailable."""
    sara = person("sara", email_verified=False)
    squatter, move = client_of(sara), {"new_email": "squatter@evil.example", "current_password": PASSWORD}
    assert squatter.post("/api/v1/auth/email/change/", move, "json").status_code == 202
    role("viewer", "users.view")
    assert client_of(root).patch(f"{USERS}{sara.pk}/", {"role": "viewer"}, "json").status_code == 200
    late = {"token": receive_token("email_change")}
    refused(squatter.post("/api/v1/auth/email/change/confirm/", late, "json"), 400, "invalid_token")
    pending = OutboxMail.objects.count()
    refused(squatter.post("/api/v1/auth/email/change/", move, "json"), 403, "email_not_verified")
    assert OutboxMail.objects.count() == pending
    sara.refresh_from_db()
    assert (sara.email, sara.email_verified) == ("sara@example.com", False)


def test_a_new_address_suspends_the_permissions_until_it_is_confirmed(
    root: User, carla: User, client_of: Clients
) -> None:
    client_of(root).patch(f"{USERS}{carla.pk}/", {"email": "carla@elsewhere.example"}, "json")
    carla.refresh_from_db()
    refused(client_of(carla).get(USERS), 403, "permission_denied")


class TestThePanel:
    @pytest.mark.parametrize("name", ["dora", "unconfirmed_root"])
    def test_says_what_is_missing(self, name: str, request: pytest.FixtureRequest) -> None:
        user: User = request.getfixturevalue(name)
        form = {"username": user.email, "password": PASSWORD}
        said = Client().post(reverse("admin:login"), form).content.decode()
        assert "Please confirm your address with the link in the email we sent you." in said
        assert AuditEvent.objects.get().data == {"code": "email_not_verified"}
        client = Client()
        client.force_login(user)
        assert client.get(reverse("admin:index")).status_code == 302
        confirm(user)
        assert client.get(reverse("admin:index")).status_code == 200

    def test_tells_admins_of_permissions_that_do_not_count(self, root: User, dora: User) -> None:
        client = Client()
        notice = "permissions of this role don't apply until the email address is confirmed."
        client.force_login(root)
        page = reverse("admin:accounts_user_change", args=[dora.pk])
        assert notice in client.get(page).content.decode()
        assert (
            "no se aplican hasta que se confirme"
            in client.get(page, headers={"Accept-Language": "es"}).content.decode()
        )
        confirm(dora)
        assert notice not in client.get(page).content.decode()

    def test_says_why_the_last_admin_keeps_a_confirmed_address(self, root: User, unconfirmed_root: User) -> None:
        with pytest.raises(LastAdmin) as raised:
            users.update(root, actor=root, email="r@example.com")
        assert "confirmed address" in str(raised.value.detail)
        with pytest.raises(LastAdmin):
            users.update(root, actor=None, email_verified=False)


class TestAtTheMachine:
    def test_an_address_is_taken_as_confirmed(self, dora: User, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("users", "verify", dora.email)
        assert "The address dora@example.com is confirmed." in capsys.readouterr().out
        assert User.objects.get(pk=dora.pk).has_perm("users.view")

    def test_commands_say_what_is_missing(
        self, dora: User, unconfirmed_root: User, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hint = "python manage.py users verify dora@example.com"
        call_command("users", "set-role", dora.email, "admin")
        assert hint in capsys.readouterr().out
        call_command("users", "create", "d@example.com", "--role", "admin")
        assert "python manage.py users verify d@example.com" in capsys.readouterr().out
        with pytest.raises(CommandError, match=hint):
            call_command("createadmin", dora.email)

    def test_commands_confirm_no_password_of_a_stranger(
        self, db: None, stranger: APIClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stranger.post("/api/v1/auth/register/", {"email": "sara@example.com", "password": OTHER_PASSWORD}, "json")
        hint = "ask its owner to set a new password at http://localhost:8000/forgot-password, because"
        with pytest.raises(CommandError, match=hint):
            call_command("createadmin", "sara@example.com")
        call_command("users", "set-role", "sara@example.com", "admin")
        said = capsys.readouterr().out
        assert hint in said
        assert "users verify" not in said

    def test_the_last_administrator_without_a_confirmed_address_stays_as_well(
        self, person: Callable[..., User]
    ) -> None:
        rita = person("rita", role="admin", email_verified=False)
        for change in ({"is_active": False}, {"role": Role.objects.get(name="user")}):
            with pytest.raises(LastAdmin):
                users.update(rita, actor=None, **change)
        users.update(rita, actor=None, full_name="Rita R.")
        confirm(rita)
        assert User.objects.administrators().get() == rita
