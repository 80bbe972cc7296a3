"""Roles are named sets of permissions of UserManager and of the operator's own applications."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts import login, permissions, roles
from accounts.errors import Conflict, NotFound
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, User
from tests.api.requests import at_location, events, rows_without_traces
from tests.conftest import refused

Clients = Callable[[User], APIClient]
ROLES = "/api/v1/roles/"
SUPPORT = {"name": "support", "description": "Answers tickets", "permissions": ["billing.refund", "users.view"]}
SHOWN = {"mfa": "optional", "is_builtin": False}


@pytest.fixture
def client(root: User, client_of: Clients) -> APIClient:
    return client_of(root)


@pytest.fixture
def support(client: APIClient) -> Role:
    assert at_location(client, client.post(ROLES, SUPPORT, "json"))["name"] == "support"
    return Role.objects.get(name="support")


class TestSeeing:
    def test_built_in_roles_are_listed_with_all_fields(self, client: APIClient) -> None:
        shown = {role["name"]: role for role in client.get(ROLES).json()["results"]}
        assert set(shown) == {"user", "admin"}
        assert list(shown["user"]) == ["name", "description", "permissions", "mfa", "is_builtin"]
        assert (shown["user"]["permissions"], shown["user"]["is_builtin"]) == ([], True)
        assert shown["admin"]["permissions"] == ["*", *sorted(permissions.PERMISSIONS)]

    def test_roles_come_newest_first_and_each_is_on_one_page(self, client: APIClient, support: Role) -> None:
        first = client.get(ROLES, {"page_size": "1", "count": "true"}).json()
        assert ([role["name"] for role in first["results"]], first["count"]) == (["support"], 3)
        second = client.get(first["next"].removeprefix("http://localhost:8000")).json()
        assert len(second["results"]) == 1
        assert (
            client.get(second["previous"].removeprefix("http://localhost:8000")).json()["results"] == first["results"]
        )

    def test_a_role_is_found_by_its_name(self, client: APIClient, support: Role) -> None:
        assert client.get(f"{ROLES}support/").json() == {**SUPPORT, **SHOWN}

    @pytest.mark.parametrize("name", ["nobody", "SUPPORT", "support%00", "%2e%2e", "é"])
    @pytest.mark.parametrize("verb", ["get", "put", "patch", "delete"])
    def test_no_role_is_found_by_an_unknown_name(self, client: APIClient, support: Role, name: str, verb: str) -> None:
        body = {**SUPPORT, "name": "other"} if verb in ("put", "patch") else None
        refused(getattr(client, verb)(f"{ROLES}{name}/", body, "json"), 404, "not_found")
        assert Role.objects.count() == 3


class TestPermissions:
    """Each method requires its permission. Without it, the response does not reveal names of roles."""

    ACTIONS = ("get roles/", "post roles/", "get support/", "put support/", "patch support/", "delete support/")

    @staticmethod
    def ask(client: APIClient, action: str, name: str = "support") -> Any:
        verb, _space, place = action.partition(" ")
        path = ROLES if place == "roles/" else f"{ROLES}{name}/"
        body = {"post": {"name": "new"}, "put": {"name": "support"}, "patch": {"description": "x"}}.get(verb)
        return getattr(client, verb)(path, body, "json", headers={"X-Request-ID": "same"})

    @pytest.mark.parametrize("action", ACTIONS)
    @pytest.mark.parametrize("permission", ["roles.view", "roles.change"])
    def test_a_user_with_the_permission_succeeds(
        self, action: str, permission: str, person: Callable[..., User], role: Callable[..., Role], client_of: Clients
    ) -> None:
        role("support")
        role("holder", permission)
        answer = self.ask(client_of(person("hugo", role="holder")), action)
        if (permission == "roles.view") == action.startswith("get"):
            assert answer.status_code in (200, 201, 204)
        else:
            refused(answer, 403, "permission_denied")

    @pytest.mark.parametrize("action", ACTIONS)
    def test_other_users_can_neither_do_nor_learn_anything(
        self, action: str, ana: User, carla: User, role: Callable[..., Role], client_of: Clients
    ) -> None:
        role("support")
        before = list(Role.objects.values())
        for user in (ana, carla):
            client = client_of(user)
            refused(self.ask(client, action), 403, "permission_denied")
            assert self.ask(client, action).content == self.ask(client, action, "nobody").content
        refused(self.ask(APIClient(), action), 401, "not_authenticated")
        assert list(Role.objects.values()) == before


class TestCreating:
    def test_stores_each_permission_once_and_in_order(self, client: APIClient, root: User) -> None:
        body = {"name": "support", "permissions": ["users.view", "billing.refund", "users.view"]}
        answer = client.post(ROLES, body, "json")
        assert answer.json() == {**SUPPORT, **SHOWN, "description": ""}
        event = AuditEvent.objects.get(kind="role:created")
        assert (event.actor_id, event.user_id) == (root.pk, None)
        assert event.data == {"role": "support", "permissions": ["billing.refund", "users.view"]}

    def test_a_built_in_role_cannot_be_created(self, client: APIClient) -> None:
        answer = client.post(ROLES, {"name": "support", "is_builtin": True, "id": "x"}, "json")
        assert answer.json()["is_builtin"] is False

    def test_takes_two_hundred_permissions(self, client: APIClient) -> None:
        many = [f"a.p{number}" for number in range(200)]
        assert client.post(ROLES, {"name": "support", "permissions": many}, "json").status_code == 201
        more = client.post(ROLES, {"name": "more", "permissions": [*many, "a.one"]}, "json")
        assert refused(more, 400, "validation_error")["errors"][0]["field"].startswith("permissions")

    @pytest.mark.parametrize(
        "domain", [f"{'d' * 63}.{'d' * 60}.{'d' * 60}.com", f"{'é' * 55}.{'ñ' * 55}.{'ü' * 55}.com"]
    )
    def test_takes_no_more_than_an_access_token_of_4_kb_carries(
        self, domain: str, client: APIClient, person: Callable[..., User]
    ) -> None:
        """Measured with the longest address, in a token that another service and gunicorn accept."""
        most = [*(f"billing.p{number:02d}{'x' * 86}" for number in range(20))]
        assert sum(len(name) + 3 for name in most) == 2000
        name = "r" * 64
        answer = client.post(ROLES, {"name": name, "permissions": most}, "json")
        assert answer.status_code == 201
        lena = person("lena", role=name, email=f"{'l' * 64}@{domain}")
        session, _refresh = login.open_session(lena, proofs.PASSWORD)
        token = access_tokens.issue(session)
        assert 3500 < len(token) < 4096
        before = rows_without_traces()
        more = {"permissions": [*most, "a.b"]}
        for response in (
            client.patch(f"{ROLES}{name}/", more, "json"),
            client.put(f"{ROLES}{name}/", {"name": name, **more}, "json"),
            client.post(ROLES, {"name": "more", **more}, "json"),
        ):
            [error] = refused(response, 400, "validation_error")["errors"]
            assert (error["field"], error["code"]) == ("permissions", "max_length")
            assert "2000 characters" in error["detail"]
        assert rows_without_traces() == before

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": None}, "name"),
            ({"name": ""}, "name"),
            ({"name": "Support"}, "name"),
            ({"name": "1st"}, "name"),
            ({"name": "a b"}, "name"),
            ({"name": "a/b"}, "name"),
            ({"name": "sup\nport"}, "name"),
            ({"name": "x" * 65}, "name"),
            ({"name": "user"}, "name"),
            ({"name": "admin"}, "name"),
            ({"description": "x" * 251}, "description"),
            ({"description": None}, "description"),
            ({"permissions": "users.view"}, "permissions"),
            ({"permissions": None}, "permissions"),
            ({"permissions": {"users.view": True}}, "permissions"),
            ({"permissions": ["users.fly"]}, "permissions.0"),
            ({"permissions": ["mfa.fly"]}, "permissions.0"),
            ({"permissions": ["users.view", "users.*"]}, "permissions.1"),
            ({"permissions": ["*"]}, "permissions.0"),
            ({"permissions": ["billing"]}, "permissions.0"),
            ({"permissions": ["Billing.refund"]}, "permissions.0"),
            ({"permissions": ["billing.re\nfund"]}, "permissions.0"),
            ({"permissions": [f"billing.{'x' * 93}"]}, "permissions.0"),
            ({"permissions": [None]}, "permissions.0"),
            ({"permissions": [["users.view"]]}, "permissions.0"),
        ],
    )
    def test_invalid_fields_are_named_and_create_nothing(
        self, client: APIClient, change: dict[str, Any], field: str
    ) -> None:
        before = rows_without_traces()
        problem = refused(client.post(ROLES, {**SUPPORT, **change}, "json"), 400, "validation_error")
        assert {error["field"] for error in problem["errors"]} == {field}
        assert rows_without_traces() == before
        assert "role:created" not in events()


class TestChanging:
    def test_patch_changes_the_fields_it_names(self, client: APIClient, support: Role, root: User) -> None:
        answer = client.patch(f"{ROLES}support/", {"permissions": ["users.view"]}, "json")
        assert answer.json() == {**SUPPORT, **SHOWN, "permissions": ["users.view"]}
        event = AuditEvent.objects.get(kind="role:changed")
        assert (event.actor_id, event.data) == (root.pk, {"role": "support", "permissions": ["users.view"]})

    def test_put_requires_the_name_and_keeps_omitted_fields(self, client: APIClient, support: Role) -> None:
        refused(client.put(f"{ROLES}support/", {"permissions": []}, "json"), 400, "validation_error")
        answer = client.put(f"{ROLES}support/", {"name": "support"}, "json")
        assert answer.json() == {**SUPPORT, **SHOWN}

    def test_a_new_name_applies_to_its_users(
        self, client: APIClient, support: Role, person: Callable[..., User]
    ) -> None:
        sara = person("sara", role="support")
        assert client.patch(f"{ROLES}support/", {"name": "helpdesk"}, "json").status_code == 200
        assert client.get(f"/api/v1/users/{sara.pk}/").json()["role"] == "helpdesk"
        refused(client.get(f"{ROLES}support/"), 404, "not_found")

    def test_a_name_that_is_taken_changes_nothing(self, client: APIClient, support: Role) -> None:
        body = {"name": "user", "permissions": []}
        problem = refused(client.patch(f"{ROLES}support/", body, "json"), 400, "validation_error")
        assert [(error["field"], error["code"]) for error in problem["errors"]] == [("name", "unique")]
        assert Role.objects.get(pk=support.pk).permissions == SUPPORT["permissions"]

    def test_the_default_role_may_have_permissions_and_keeps_its_name(self, client: APIClient) -> None:
        assert client.patch(f"{ROLES}user/", {"permissions": ["app.use"]}, "json").json()["permissions"] == ["app.use"]
        assert client.put(f"{ROLES}user/", {"name": "user"}, "json").status_code == 200
        refused(client.patch(f"{ROLES}user/", {"name": "people"}, "json"), 409, "conflict")
        assert Role.objects.get(name="user").is_builtin

    @pytest.mark.parametrize("permission", [*permissions.PERMISSIONS])
    def test_the_default_role_cannot_hold_own_permissions(self, client: APIClient, permission: str) -> None:
        """Every user who registers gets this role."""
        for body in ({"permissions": [permission]}, {"permissions": ["app.use", permission]}):
            refused(client.patch(f"{ROLES}user/", body, "json"), 409, "conflict")
            refused(client.put(f"{ROLES}user/", {"name": "user", **body}, "json"), 409, "conflict")
        with pytest.raises(Conflict):
            roles.update(Role.objects.get(name="user"), actor=None, permissions=[permission])
        assert Role.objects.get(name="user").permissions == []
        assert "role:changed" not in events()

    def test_a_migration_removes_permissions_that_older_versions_allowed_in_built_in_roles(
        self, client: APIClient, support: Role
    ) -> None:
        Role.objects.filter(name="user").update(permissions=["app.use", "mfa.reset", "users.view"])
        Role.objects.filter(name="admin").update(permissions=["billing.void", *sorted(permissions.PERMISSIONS)])
        roles.ensure_builtin()
        assert client.get(f"{ROLES}user/").json()["permissions"] == ["app.use"]
        assert client.get(f"{ROLES}admin/").json()["permissions"] == ["*", *sorted(permissions.PERMISSIONS)]

    @pytest.mark.parametrize("body", [{"permissions": []}, {"permissions": ["users.view", "users.add"]}, {"name": "x"}])
    def test_an_assigned_role_requires_the_permission_to_assign_roles(
        self,
        body: dict[str, Any],
        ana: User,
        person: Callable[..., User],
        role: Callable[..., Role],
        client_of: Clients,
    ) -> None:
        """Changing the role changes the permissions of its users, as assigning another role would."""
        held, free = role("held", "users.view"), role("free", "users.view")
        person("hugo", role="held", is_active=False)
        keeper = client_of(person("kim", role=role("keeper", "roles.change", "users.view", "users.add").name))
        User.objects.filter(role__name="user").update(role=held)  # the next user who registers gets that role
        before = Role.objects.filter(pk=held.pk).values().get()
        refused(keeper.patch(f"{ROLES}held/", body, "json"), 403, "permission_denied")
        refused(keeper.patch(f"{ROLES}user/", {"description": "x"}, "json"), 403, "permission_denied")
        assert Role.objects.filter(pk=held.pk).values().get() == before
        assert "role:changed" not in events()
        assert keeper.patch(f"{ROLES}free/", body, "json").status_code == 200
        role("assigner", "roles.change", "roles.assign", "users.view", "users.add")
        free.delete()
        assigner = client_of(person("paul", role="assigner"))
        assert assigner.patch(f"{ROLES}held/", body, "json").status_code == 200

    @pytest.mark.parametrize(
        "body", [{"permissions": []}, {"permissions": ["users.view"]}, {"description": "x"}, {"name": "boss"}, {}]
    )
    def test_the_admin_s_role_cannot_be_changed(self, client: APIClient, body: dict[str, Any]) -> None:
        before = Role.objects.filter(name="admin").values().get()
        refused(client.patch(f"{ROLES}admin/", body, "json"), 409, "conflict")
        refused(client.put(f"{ROLES}admin/", {"name": "admin", **body}, "json"), 409, "conflict")
        assert Role.objects.filter(name="admin").values().get() == before


class TestRemoving:
    def test_an_unassigned_role_can_be_removed(self, client: APIClient, support: Role, root: User) -> None:
        assert client.delete(f"{ROLES}support/").status_code == 204
        assert not Role.objects.filter(name="support").exists()
        event = AuditEvent.objects.get(kind="role:deleted")
        assert (event.actor_id, event.data) == (root.pk, {"role": "support"})

    def test_assigned_roles_stay(self, client: APIClient, support: Role, person: Callable[..., User]) -> None:
        sara = person("sara", role="support", is_active=False)
        assert "This role is still assigned" in refused(client.delete(f"{ROLES}support/"), 409, "conflict")["detail"]
        assert Role.objects.filter(name="support").exists()
        assert "role:deleted" not in events()
        sara.delete()
        assert client.delete(f"{ROLES}support/").status_code == 204

    @pytest.mark.parametrize("name", ["user", "admin"])
    def test_built_in_roles_stay(self, client: APIClient, name: str) -> None:
        refused(client.delete(f"{ROLES}{name}/"), 409, "conflict")
        assert Role.objects.filter(name=name).exists()

    def test_a_role_that_was_removed_meanwhile_is_not_found(self, support: Role, root: User) -> None:
        Role.objects.filter(pk=support.pk).delete()
        with pytest.raises(NotFound):
            roles.delete(support, actor=root)
        with pytest.raises(NotFound):
            roles.update(support, actor=root, description="x")
