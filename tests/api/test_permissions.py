"""Each action on another user requires its permission, and reveals nothing without it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from rest_framework.test import APIClient

from accounts import login, permissions, users
from accounts.mfa import proofs
from accounts.models import Role, User
from tests.conftest import refused

Clients = Callable[[User], APIClient]

MISSING = "01a20945-f308-721a-bebb-44953872b004"
CHANGES = {"email": "bruno@example.com", "full_name": "B."}


class Action(NamedTuple):
    """A request about a user, the permission it requires, and its status on success."""

    verb: str
    path: str
    permission: str
    status: int
    body: dict[str, Any] | None = None

    def sent_by(self, client: APIClient, user_id: object, **headers: str) -> Any:
        path = f"/api/v1/users/{user_id}/{self.path}"
        return getattr(client, self.verb)(path, self.body, "json", headers=headers)


ACTIONS = {
    "see": Action("get", "", "users.view", 200),
    "replace": Action("put", "", "users.change", 200, CHANGES),
    "change": Action("patch", "", "users.change", 200, {"full_name": "B."}),
    "delete": Action("delete", "", "users.delete", 204),
    "suspend": Action("post", "suspend/", "users.change", 200, {"reason": "Chargeback"}),
    "activate": Action("post", "activate/", "users.change", 200),
    "unlock": Action("post", "unlock/", "users.change", 200),
    "invite": Action("post", "invite/", "users.change", 202),
    "see invitation": Action("get", "invite/", "users.view", 200),
    "revoke invitation": Action("delete", "invite/", "users.change", 204),
    "reset password": Action("post", "password-reset/", "users.change", 202),
    "list sessions": Action("get", "sessions/", "sessions.view", 200),
    "end sessions": Action("delete", "sessions/", "sessions.revoke", 204),
    "see audit": Action("get", "audit/", "audit.view", 200),
    "list factors": Action("get", "factors/", "users.view", 200),
    "reset factors": Action("delete", "factors/", "mfa.reset", 204),
}
CHANGING = [name for name, action in ACTIONS.items() if action.verb != "get"]
OWN = ("see", "replace", "change", "list sessions", "end sessions", "see audit", "list factors")
UNKNOWN_IDS = [MISSING, MISSING.upper(), "x", "me2", "0", "%00", "..", "a b", "é"]

every_action = pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)


@pytest.fixture
def target(root: User) -> User:
    """Returns a user on whom every action succeeds: invited, and without a password."""
    return users.create("bruno@example.com", actor=root, full_name="Bruno")


@pytest.fixture
def holder(person: Callable[..., User], role: Callable[..., Role], client_of: Clients) -> Callable[..., APIClient]:
    """Returns a function that makes the client of a user with exactly these permissions."""

    def make(*permissions: str) -> APIClient:
        role("some", *permissions)
        return client_of(person("sam", role="some"))

    return make


def rows_of(user: User) -> list[Any]:
    """Returns all rows that an action could change."""
    tables: list[Any] = [User.objects.filter(pk=user.pk), user.sessions.all(), user.one_time_tokens.all()]
    return [[*rows.values()] for rows in tables]


@every_action
def test_clients_that_are_not_signed_in_are_rejected(action: Action, target: User, stranger: APIClient) -> None:
    before = rows_of(target)
    refused(action.sent_by(stranger, target.pk), 401, "not_authenticated")
    assert rows_of(target) == before


@every_action
def test_a_user_with_the_permission_succeeds(action: Action, target: User, holder: Callable[..., APIClient]) -> None:
    assert action.sent_by(holder(action.permission), target.pk).status_code == action.status


@every_action
def test_a_user_who_sees_users_but_lacks_the_permission_gets_403(
    action: Action, target: User, holder: Callable[..., APIClient]
) -> None:
    others = {*permissions.PERMISSIONS, "users.view"} - {action.permission}
    before = rows_of(target)
    if action.permission == "users.view":
        others -= {action.permission}
        refused(action.sent_by(holder(*others), target.pk), 404, "not_found")
    else:
        refused(action.sent_by(holder(*others), target.pk), 403, "permission_denied")
    assert rows_of(target) == before


@every_action
def test_a_user_who_may_not_see_users_gets_404_for_every_id(
    action: Action, target: User, ana: User, client_of: Clients
) -> None:
    login.open_session(target, proofs.PASSWORD)
    before = rows_of(target)
    client = client_of(ana)
    answers = [action.sent_by(client, user_id, **{"X-Request-ID": "same"}) for user_id in (target.pk, MISSING)]
    for answer in answers:
        refused(answer, 404, "not_found")
    assert answers[0].content == answers[1].content
    assert answers[0].headers == answers[1].headers
    assert rows_of(target) == before


@every_action
def test_an_invalid_body_does_not_reveal_a_user(action: Action, target: User, ana: User, client_of: Clients) -> None:
    client = client_of(ana)
    nonsense = action._replace(body={"email": 1, "until": "x", "reason": ["y"], "role": "none"})
    for user_id in (target.pk, MISSING):
        refused(nonsense.sent_by(client, user_id), 404, "not_found")


@pytest.mark.parametrize("user_id", UNKNOWN_IDS)
@every_action
def test_an_unknown_id_is_not_found(action: Action, user_id: str, root: User, client_of: Clients) -> None:
    answer = action.sent_by(client_of(root), user_id)
    refused(answer, 404, "not_found")


@every_action
def test_an_id_in_capitals_means_the_same_user(action: Action, target: User, root: User, client_of: Clients) -> None:
    assert action.sent_by(client_of(root), str(target.pk).upper()).status_code == action.status


class TestOneself:
    """Users may view their own account and change their own fields. Other actions require the permission."""

    @pytest.mark.parametrize("name", OWN)
    def test_a_user_may_do_it_by_id(self, name: str, ana: User, client_of: Clients) -> None:
        assert ACTIONS[name].sent_by(client_of(ana), ana.pk).status_code == ACTIONS[name].status

    @pytest.mark.parametrize("name", ["see", "change", "list sessions", "end sessions", "see audit", "list factors"])
    def test_a_user_may_do_it_as_me(self, name: str, ana: User, client_of: Clients) -> None:
        assert ACTIONS[name].sent_by(client_of(ana), "me").status_code == ACTIONS[name].status

    def test_me_accepts_patch_and_not_put(self, ana: User, client_of: Clients) -> None:
        refused(ACTIONS["replace"].sent_by(client_of(ana), "me"), 405, "method_not_allowed")

    @pytest.mark.parametrize("name", [name for name in ACTIONS if name not in OWN])
    def test_a_user_may_not_administer_their_own_account(self, name: str, ana: User, client_of: Clients) -> None:
        client = client_of(ana)
        before = rows_of(ana)
        refused(ACTIONS[name].sent_by(client, ana.pk), 403, "permission_denied")
        assert rows_of(ana) == before


class TestUserWithMorePermissions:
    """The chief has nearly all permissions, the administrator has all."""

    @pytest.mark.parametrize("name", CHANGING)
    def test_cannot_be_changed_by_a_user_who_holds_less(
        self, name: str, root: User, person: Callable[..., User], role: Callable[..., Role], client_of: Clients
    ) -> None:
        action = ACTIONS[name]
        role("chief", *(set(permissions.PERMISSIONS) - {"mails.view"}))
        chief = client_of(person("chief", role="chief"))
        boss = users.create("boss@example.com", actor=root, role=root.role)
        login.open_session(boss, proofs.PASSWORD)
        before = rows_of(boss)
        refused(action.sent_by(chief, boss.pk), 403, "permission_denied")
        assert rows_of(boss) == before

    @pytest.mark.parametrize("name", [name for name in ACTIONS if name not in CHANGING])
    def test_can_be_seen_with_the_permission(self, name: str, root: User, holder: Callable[..., APIClient]) -> None:
        assert ACTIONS[name].sent_by(holder(ACTIONS[name].permission), root.pk).status_code == 200

    @pytest.mark.parametrize("name", CHANGING)
    def test_can_be_changed_by_a_user_who_holds_as_much(
        self, name: str, target: User, person: Callable[..., User], client_of: Clients
    ) -> None:
        other = client_of(person("otto", role="admin"))
        users.set_role(target, Role.objects.get(name="admin"), actor=None)
        assert ACTIONS[name].sent_by(other, target.pk).status_code == ACTIONS[name].status
