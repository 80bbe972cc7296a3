"""Users can't escalate their privileges: an actor holds all permissions of each role that they give or change."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from rest_framework.test import APIClient

from accounts import invitations, roles, users
from accounts.errors import PermissionDenied, TokenNotValid
from accounts.models import AuditEvent, Role, User
from tests.conftest import PASSWORD, refused

Clients = Callable[[User], APIClient]

USERS = "/api/v1/users/"
ROLES = "/api/v1/roles/"
LOGIN = "/api/v1/auth/login/"
HELD = ("users.view", "users.add", "users.change", "roles.view", "roles.change", "roles.assign", "billing.refund")


@pytest.fixture
def olga(person: Callable[..., User], role: Callable[..., Role]) -> User:
    """She manages users and roles, and may give refunds. She may neither delete users nor see audit events."""
    role("officer", *HELD)
    role("helper", "users.view", "billing.refund")
    role("auditor", "users.view", "audit.view")
    return person("olga", role="officer")


@pytest.fixture
def olgas(olga: User, client_of: Clients) -> APIClient:
    return client_of(olga)


def role_of(user: User) -> str:
    return User.objects.select_related("role").get(pk=user.pk).role.name


def permissions_in(role: str) -> list[str]:
    permissions: list[str] = Role.objects.get(name=role).permissions
    return permissions


class TestAssigningRoles:
    @pytest.mark.parametrize("name", ["helper", "officer", "user"])
    def test_a_role_with_permissions_the_actor_holds_is_assigned(self, olgas: APIClient, ana: User, name: str) -> None:
        assert olgas.patch(f"{USERS}{ana.pk}/", {"role": name}, "json").json()["role"] == name
        made = olgas.post(USERS, {"email": "dora@example.com", "role": name}, "json")
        assert (made.status_code, made.json()["role"]) == (201, name)

    @pytest.mark.parametrize("name", ["auditor", "admin"])
    def test_a_role_with_more_permissions_is_not_assigned(
        self, olgas: APIClient, olga: User, ana: User, name: str
    ) -> None:
        for user in (ana, olga):
            body = {"role": name, "full_name": "Climber"}
            refused(olgas.patch(f"{USERS}{user.pk}/", body, "json"), 403, "permission_denied")
            refused(olgas.put(f"{USERS}{user.pk}/", {"email": user.email, **body}, "json"), 403, "permission_denied")
        refused(olgas.post(USERS, {"email": "dora@example.com", "role": name}, "json"), 403, "permission_denied")
        assert (role_of(ana), role_of(olga)) == ("user", "officer")
        assert set(User.objects.values_list("full_name", flat=True)) == {"Ana", "Olga"}

    def test_assigning_requires_the_permission(
        self, carla: User, ana: User, role: Callable[..., Role], client_of: Clients
    ) -> None:
        role("helper", "users.view")
        client = client_of(carla)
        refused(client.patch(f"{USERS}{ana.pk}/", {"role": "helper"}, "json"), 403, "permission_denied")
        refused(client.patch(f"{USERS}{carla.pk}/", {"role": "helper"}, "json"), 403, "permission_denied")
        refused(client.post(USERS, {"email": "dora@example.com", "role": "helper"}, "json"), 403, "permission_denied")
        assert (role_of(ana), role_of(carla)) == ("user", "manager")
        assert client.post(USERS, {"email": "dora@example.com", "role": "user"}, "json").status_code == 201

    def test_the_permission_to_assign_alone_is_not_enough(
        self, person: Callable[..., User], ana: User, role: Callable[..., Role], client_of: Clients
    ) -> None:
        role("giver", "users.view", "roles.assign")
        client = client_of(person("gil", role="giver"))
        refused(client.patch(f"{USERS}{ana.pk}/", {"role": "giver"}, "json"), 403, "permission_denied")
        assert role_of(ana) == "user"

    def test_a_default_role_with_more_permissions_is_not_assigned(self, carla: User, client_of: Clients) -> None:
        Role.objects.filter(name="user").update(permissions=["audit.view"])
        refused(client_of(carla).post(USERS, {"email": "dora@example.com"}, "json"), 403, "permission_denied")
        assert User.objects.count() == 1

    def test_a_role_with_more_permissions_is_not_taken_away(
        self, olgas: APIClient, person: Callable[..., User]
    ) -> None:
        arno = person("arno", role="auditor")
        refused(olgas.patch(f"{USERS}{arno.pk}/", {"role": "user"}, "json"), 403, "permission_denied")
        assert role_of(arno) == "auditor"

    def test_an_actor_may_take_a_role_with_fewer_permissions(self, olgas: APIClient, olga: User) -> None:
        assert olgas.patch(f"{USERS}{olga.pk}/", {"role": "helper"}, "json").status_code == 200
        refused(olgas.get(ROLES), 403, "permission_denied")


class TestChangingRoles:
    def test_the_actors_own_role_gains_no_permissions(self, olgas: APIClient) -> None:
        for more in ("users.delete", "mails.change", "billing.void"):
            body = {"permissions": [*HELD, more]}
            refused(olgas.patch(f"{ROLES}officer/", body, "json"), 403, "permission_denied")
            refused(olgas.put(f"{ROLES}officer/", {"name": "officer", **body}, "json"), 403, "permission_denied")
        assert permissions_in("officer") == sorted(HELD)

    def test_no_other_role_gains_permissions_that_the_actor_lacks(self, olgas: APIClient) -> None:
        body = {"permissions": ["users.view", "audit.view"]}
        refused(olgas.patch(f"{ROLES}helper/", body, "json"), 403, "permission_denied")
        refused(olgas.patch(f"{ROLES}user/", body, "json"), 403, "permission_denied")
        refused(olgas.post(ROLES, {"name": "new", **body}, "json"), 403, "permission_denied")
        assert permissions_in("helper") == ["billing.refund", "users.view"]
        assert permissions_in("user") == []
        assert not Role.objects.filter(name="new").exists()

    @pytest.mark.parametrize(
        "body", [{"permissions": []}, {"permissions": ["users.view"]}, {"description": "x"}, {"name": "mine"}]
    )
    def test_a_role_with_more_permissions_is_not_changed(self, olgas: APIClient, body: dict[str, Any]) -> None:
        before = Role.objects.filter(name="auditor").values().get()
        refused(olgas.patch(f"{ROLES}auditor/", body, "json"), 403, "permission_denied")
        refused(olgas.delete(f"{ROLES}auditor/"), 403, "permission_denied")
        assert Role.objects.filter(name="auditor").values().get() == before

    def test_an_actor_may_grant_permissions_they_hold(self, olgas: APIClient) -> None:
        body = {"name": "new", "permissions": ["billing.refund", "users.add"]}
        assert olgas.post(ROLES, body, "json").status_code == 201
        assert olgas.patch(f"{ROLES}helper/", {"permissions": ["users.add"]}, "json").status_code == 200

    def test_a_renamed_role_keeps_its_users(self, olgas: APIClient, olga: User) -> None:
        """A role of the old name that comes later is another one."""
        assert olgas.patch(f"{ROLES}officer/", {"name": "captain"}, "json").status_code == 200
        assert olgas.post(ROLES, {"name": "officer", "permissions": []}, "json").status_code == 201
        assert role_of(olga) == "captain"

    def test_no_role_can_take_the_name_of_the_admin_role(
        self, olgas: APIClient, olga: User, role: Callable[..., Role]
    ) -> None:
        problem = refused(olgas.patch(f"{ROLES}officer/", {"name": "admin"}, "json"), 400, "validation_error")
        assert problem["errors"][0]["code"] == "unique"
        refused(olgas.post(ROLES, {"name": "admin", "permissions": []}, "json"), 400, "validation_error")
        assert not User.objects.select_related("role").get(pk=olga.pk).role.is_admin


class TestTheOperatorsPermissions:
    def test_are_in_the_tokens_of_users_with_the_role(
        self, root: User, ana: User, client_of: Clients, stranger: APIClient
    ) -> None:
        client = client_of(root)
        body = {"name": "billing", "permissions": ["billing.refund", "billing.void"]}
        assert client.post(ROLES, body, "json").status_code == 201
        assert client.patch(f"{USERS}{ana.pk}/", {"role": "billing"}, "json").status_code == 200
        signed_in = stranger.post(LOGIN, {"email": ana.email, "password": PASSWORD}, "json").json()
        claims = jwt.decode(signed_in["access"], options={"verify_signature": False})
        assert (claims["role"], claims["permissions"]) == ("billing", ["billing.refund", "billing.void"])

    def test_the_token_of_an_admin_has_a_wildcard_for_all_of_them(
        self, root: User, client_of: Clients, stranger: APIClient
    ) -> None:
        """It named the permissions of all roles: 16 roles of 15 made a header that gunicorn refuses."""
        client = client_of(root)
        for number in range(16):
            body = {"name": f"r{number}", "permissions": [f"app{number}.permission-{one}" for one in range(15)]}
            assert client.post(ROLES, body, "json").status_code == 201
        signed_in = stranger.post(LOGIN, {"email": root.email, "password": PASSWORD}, "json").json()
        assert len(signed_in["access"]) < 1000
        claims = jwt.decode(signed_in["access"], options={"verify_signature": False})
        assert (claims["role"], claims["permissions"]) == ("admin", ["*"])
        assert client.post(ROLES, {"name": "new", "permissions": ["app1.permission-1"]}, "json").status_code == 201

    def test_grant_nothing_in_this_api(
        self, person: Callable[..., User], role: Callable[..., Role], client_of: Clients
    ) -> None:
        role("billing", "billing.refund")
        refused(client_of(person("bill", role="billing")).get(USERS), 403, "permission_denied")


class TestTheNextRequest:
    def test_uses_the_new_role(self, root: User, ana: User, client_of: Clients) -> None:
        client = client_of(ana)
        users.set_role(ana, root.role, actor=None)
        assert client.get(USERS).status_code == 200
        users.set_role(ana, Role.objects.get(name="user"), actor=None)
        refused(client.get(USERS), 403, "permission_denied")

    def test_uses_the_new_permissions_of_the_role(self, carla: User, client_of: Clients) -> None:
        client = client_of(carla)
        roles.update(carla.role, actor=None, permissions=["users.view"])
        assert client.get(USERS).status_code == 200
        refused(client.delete(f"{USERS}{carla.pk}/"), 403, "permission_denied")


LOSSES: dict[str, Callable[[User], object]] = {
    "demoted": lambda olga: User.objects.filter(pk=olga.pk).update(role=Role.objects.get(name="helper")),
    "suspended": lambda olga: User.objects.filter(pk=olga.pk).update(is_active=False),
    "deleted": lambda olga: User.objects.filter(pk=olga.pk).delete(),
    "without a confirmed address": lambda olga: User.objects.filter(pk=olga.pk).update(email_verified=False),
    "with a reduced role": lambda olga: Role.objects.filter(name="officer").update(permissions=["users.view"]),
}
ACTIONS: dict[str, Callable[[User, User], object]] = {
    "suspend": lambda olga, ana: users.suspend(ana, actor=olga),
    "change": lambda olga, ana: users.update(ana, actor=olga, full_name="Fallen"),
    "assign a role": lambda olga, ana: users.set_role(ana, Role.objects.get(name="helper"), actor=olga),
    "delete": lambda olga, ana: users.delete(ana, actor=olga),
    "invite": lambda olga, ana: invitations.invite(ana, actor=olga),
    "create": lambda olga, ana: users.create("dora@example.com", actor=olga),
    "create a role": lambda olga, ana: roles.create("new", [], actor=olga),
    "change a role": lambda olga, ana: roles.update(Role.objects.get(name="helper"), actor=olga, name="new"),
    "remove a role": lambda olga, ana: roles.delete(Role.objects.get(name="auditor"), actor=olga),
}


class TestActorWithoutPermissionsByNow:
    """The actor loses the permission after authentication, before the action."""

    @pytest.mark.parametrize("lose_permissions", LOSSES.values(), ids=LOSSES)
    @pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
    def test_changes_nothing(
        self, lose_permissions: Callable[[User], object], action: Callable[[User, User], object], olga: User, ana: User
    ) -> None:
        lose_permissions(olga)
        before = [[*table.objects.order_by("pk").values()] for table in (User, Role)]
        with pytest.raises((PermissionDenied, TokenNotValid)):
            action(olga, ana)
        assert [[*table.objects.order_by("pk").values()] for table in (User, Role)] == before
        assert not AuditEvent.objects.exists()
