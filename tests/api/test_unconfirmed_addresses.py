"""An address that its owner has not confirmed proves nothing: UserManager's own permissions count from then on."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts import access_tokens, login, roles, users
from accounts.errors import LastAdmin
from accounts.models import AuditEvent, Role, User
from notifications.models import OutboxMail
from tests.api.conversation import mailed
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

Clients = Callable[[User], APIClient]

ME, USERS = "/api/v1/users/me/", "/api/v1/users/"


@pytest.fixture
def dora(person: Callable[..., User], role: Callable[..., Role]) -> User:
    """A user who holds everything that a role can, but who has not confirmed the address."""
    role("everything", *roles.PERMISSIONS, "billing.refund")
    return person("dora", role="everything", email_verified=False)


@pytest.fixture
def unconfirmed_root(root: User, person: Callable[..., User]) -> User:
    """A second administrator, of an address that is not confirmed."""
    return person("rita", role="admin", email_verified=False)


def confirm(user: User) -> None:
    users.update(user, actor=None, email_verified=True)


def told(user: User) -> list[str]:
    """The permissions that a token of the user tells other services."""
    session, _refresh = login.open_session(user)
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


def test_tokens_tell_what_counts(dora: User, unconfirmed_root: User) -> None:
    """The operator's permissions count as before; `*` does not, as it means UserManager's, too."""
    assert told(dora) == ["billing.refund"]
    assert told(unconfirmed_root) == []
    assert not unconfirmed_root.has_perm("billing.refund")
    for user in (dora, unconfirmed_root):
        confirm(user)
        user.refresh_from_db()
    assert told(dora) == sorted([*roles.PERMISSIONS, "billing.refund"])
    assert told(unconfirmed_root) == ["*"]


def test_nobody_confirms_the_own_address_by_saying_so(dora: User, client_of: Clients) -> None:
    answer = client_of(dora).patch(f"{USERS}{dora.pk}/", {"email_verified": True, "full_name": "Dora D."}, "json")
    assert (answer.status_code, answer.json()["full_name"]) == (200, "Dora D.")
    assert answer.json()["email_verified"] is False


@pytest.mark.parametrize("path", [f"{USERS}{{}}/", ME])
def test_the_own_account_stays_the_users(path: str, dora: User, client_of: Clients) -> None:
    client = client_of(dora)
    assert client.patch(path.format(dora.pk), {"full_name": "D."}, "json").json()["full_name"] == "D."
    assert client.delete(ME, {"current_password": PASSWORD}, "json").status_code == 204


def test_rank_goes_by_what_the_role_will_permit(
    dora: User, unconfirmed_root: User, carla: User, client_of: Clients
) -> None:
    """Else a manager could move the address of an administrator who has not confirmed one, and become them."""
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
    """The link of a request from before may be mailed after the promotion, as the mail server was away."""
    sara = person("sara", email_verified=False)
    squatter, move = client_of(sara), {"new_email": "squatter@evil.example", "current_password": PASSWORD}
    assert squatter.post("/api/v1/auth/email/change/", move, "json").status_code == 202
    role("viewer", "users.view")
    assert client_of(root).patch(f"{USERS}{sara.pk}/", {"role": "viewer"}, "json").status_code == 200
    late = {"token": mailed("email_change")}
    refused(squatter.post("/api/v1/auth/email/change/confirm/", late, "json"), 400, "invalid_token")
    owed = OutboxMail.objects.count()
    refused(squatter.post("/api/v1/auth/email/change/", move, "json"), 403, "email_not_verified")
    assert OutboxMail.objects.count() == owed
    sara.refresh_from_db()
    assert (sara.email, sara.email_verified) == ("sara@example.com", False)


def test_another_address_puts_the_permissions_to_sleep(root: User, carla: User, client_of: Clients) -> None:
    client_of(root).patch(f"{USERS}{carla.pk}/", {"email": "carla@elsewhere.example"}, "json")
    carla.refresh_from_db()
    refused(client_of(carla).get(USERS), 403, "permission_denied")


class TestThePanel:
    @pytest.mark.parametrize("name", ["dora", "unconfirmed_root"])
    def test_says_what_is_missing(self, name: str, request: pytest.FixtureRequest) -> None:
        user: User = request.getfixturevalue(name)
        form = {"username": user.email, "password": PASSWORD}
        said = Client().post(reverse("admin:login"), form).content.decode()
        assert "Please confirm your address with the link that was mailed to you." in said
        assert AuditEvent.objects.get().data == {"code": "email_not_verified"}
        client = Client()
        client.force_login(user)
        assert client.get(reverse("admin:index")).status_code == 302
        confirm(user)
        assert client.get(reverse("admin:index")).status_code == 200

    def test_tells_admins_of_permissions_that_do_not_count(self, root: User, dora: User) -> None:
        client, words = Client(), "The permissions of this role do not count until the address is confirmed."
        client.force_login(root)
        page = reverse("admin:accounts_user_change", args=[dora.pk])
        assert words in client.get(page).content.decode()
        assert (
            "no cuentan hasta que se confirme" in client.get(page, headers={"Accept-Language": "es"}).content.decode()
        )
        confirm(dora)
        assert words not in client.get(page).content.decode()

    def test_says_why_the_last_admin_keeps_a_confirmed_address(self, root: User, unconfirmed_root: User) -> None:
        with pytest.raises(LastAdmin) as refusal:
            users.update(root, actor=root, email="r@example.com")
        assert "confirmed address" in str(refusal.value.detail)
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
        hint = "let its owner set a new password at http://localhost:8000/forgot-password, as a stranger may"
        with pytest.raises(CommandError, match=hint):
            call_command("createadmin", "sara@example.com")
        call_command("users", "set-role", "sara@example.com", "admin")
        said = capsys.readouterr().out
        assert hint in said
        assert "users verify" not in said

    def test_the_last_of_those_who_confirmed_nothing_stays_as_well(self, person: Callable[..., User]) -> None:
        rita = person("rita", role="admin", email_verified=False)
        for change in ({"is_active": False}, {"role": Role.objects.get(name="user")}):
            with pytest.raises(LastAdmin):
                users.update(rita, actor=None, **change)
        users.update(rita, actor=None, full_name="Rita R.")
        confirm(rita)
        assert User.objects.administrators().get() == rita
