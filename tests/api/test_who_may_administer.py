"""Who may do what to somebody else: the permission of each request, and what those learn who lack it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from rest_framework.test import APIClient

from accounts import login, roles, users
from accounts.models import Role, User
from tests.conftest import refused

Clients = Callable[[User], APIClient]

MISSING = "01a20945-f308-721a-bebb-44953872b004"
CHANGES = {"email": "bruno@example.com", "full_name": "B."}


class Deed(NamedTuple):
    """A request about a person, the permission that it takes, and the status of its success."""

    verb: str
    path: str
    permission: str
    status: int
    body: dict[str, Any] | None = None

    def done_by(self, client: APIClient, user_id: object, **headers: str) -> Any:
        path = f"/api/v1/users/{user_id}/{self.path}"
        return getattr(client, self.verb)(path, self.body, "json", headers=headers)


DEEDS = {
    "see": Deed("get", "", "users.view", 200),
    "replace": Deed("put", "", "users.change", 200, CHANGES),
    "change": Deed("patch", "", "users.change", 200, {"full_name": "B."}),
    "delete": Deed("delete", "", "users.delete", 204),
    "suspend": Deed("post", "suspend/", "users.change", 200, {"reason": "Chargeback"}),
    "activate": Deed("post", "activate/", "users.change", 200),
    "unlock": Deed("post", "unlock/", "users.change", 200),
    "invite": Deed("post", "invite/", "users.change", 202),
    "see invitation": Deed("get", "invite/", "users.view", 200),
    "revoke invitation": Deed("delete", "invite/", "users.change", 204),
    "reset password": Deed("post", "password-reset/", "users.change", 202),
    "list sessions": Deed("get", "sessions/", "sessions.view", 200),
    "end sessions": Deed("delete", "sessions/", "sessions.revoke", 204),
    "see audit": Deed("get", "audit/", "audit.view", 200),
}
CHANGING = [name for name, deed in DEEDS.items() if deed.verb != "get"]
OWN = ("see", "replace", "change", "list sessions", "end sessions", "see audit")
OF_NOBODY = [MISSING, MISSING.upper(), "x", "me2", "0", "%00", "..", "a b", "é"]

every_deed = pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)


@pytest.fixture
def target(root: User) -> User:
    """Somebody whom each of the deeds can be done to, as they were invited and have no password yet."""
    return users.create("bruno@example.com", actor=root, full_name="Bruno")


@pytest.fixture
def holder(person: Callable[..., User], role: Callable[..., Role], client_of: Clients) -> Callable[..., APIClient]:
    """A client of somebody whose role holds just these permissions."""

    def make(*permissions: str) -> APIClient:
        role("some", *permissions)
        return client_of(person("sam", role="some"))

    return make


def everything_of(user: User) -> list[Any]:
    """All that a deed could have changed."""
    tables: list[Any] = [User.objects.filter(pk=user.pk), user.sessions.all(), user.one_time_tokens.all()]
    return [[*rows.values()] for rows in tables]


@every_deed
def test_strangers_are_asked_who_they_are(deed: Deed, target: User, stranger: APIClient) -> None:
    before = everything_of(target)
    refused(deed.done_by(stranger, target.pk), 401, "not_authenticated")
    assert everything_of(target) == before


@every_deed
def test_who_holds_the_permission_may(deed: Deed, target: User, holder: Callable[..., APIClient]) -> None:
    assert deed.done_by(holder(deed.permission), target.pk).status_code == deed.status


@every_deed
def test_who_sees_users_but_lacks_the_permission_is_refused(
    deed: Deed, target: User, holder: Callable[..., APIClient]
) -> None:
    others = {*roles.PERMISSIONS, "users.view"} - {deed.permission}
    before = everything_of(target)
    if deed.permission == "users.view":
        others -= {deed.permission}
        refused(deed.done_by(holder(*others), target.pk), 404, "not_found")
    else:
        refused(deed.done_by(holder(*others), target.pk), 403, "permission_denied")
    assert everything_of(target) == before


@every_deed
def test_who_may_see_nobody_cannot_tell_whether_there_is_somebody(
    deed: Deed, target: User, ana: User, client_of: Clients
) -> None:
    login.open_session(target)
    before = everything_of(target)
    client = client_of(ana)
    answers = [deed.done_by(client, user_id, **{"X-Request-ID": "same"}) for user_id in (target.pk, MISSING)]
    for answer in answers:
        refused(answer, 404, "not_found")
    assert answers[0].content == answers[1].content
    assert answers[0].headers == answers[1].headers
    assert everything_of(target) == before


@every_deed
def test_a_nonsensical_body_does_not_give_anybody_away(deed: Deed, target: User, ana: User, client_of: Clients) -> None:
    client = client_of(ana)
    nonsense = deed._replace(body={"email": 1, "until": "x", "reason": ["y"], "role": "none"})
    for user_id in (target.pk, MISSING):
        refused(nonsense.done_by(client, user_id), 404, "not_found")


@pytest.mark.parametrize("user_id", OF_NOBODY)
@every_deed
def test_root_finds_nobody_where_nobody_is(deed: Deed, user_id: str, root: User, client_of: Clients) -> None:
    answer = deed.done_by(client_of(root), user_id)
    refused(answer, 404, "not_found")


@every_deed
def test_an_id_in_capitals_means_the_same_person(deed: Deed, target: User, root: User, client_of: Clients) -> None:
    assert deed.done_by(client_of(root), str(target.pk).upper()).status_code == deed.status


class TestOneself:
    """One's own account may be seen and have its own fields changed; the rest takes the permission."""

    @pytest.mark.parametrize("name", OWN)
    def test_ana_may_by_her_id(self, name: str, ana: User, client_of: Clients) -> None:
        assert DEEDS[name].done_by(client_of(ana), ana.pk).status_code == DEEDS[name].status

    @pytest.mark.parametrize("name", ["see", "change", "list sessions", "end sessions", "see audit"])
    def test_ana_may_as_me(self, name: str, ana: User, client_of: Clients) -> None:
        assert DEEDS[name].done_by(client_of(ana), "me").status_code == DEEDS[name].status

    def test_me_is_changed_piece_by_piece_alone(self, ana: User, client_of: Clients) -> None:
        refused(DEEDS["replace"].done_by(client_of(ana), "me"), 405, "method_not_allowed")

    @pytest.mark.parametrize("name", [name for name in DEEDS if name not in OWN])
    def test_ana_may_not_administer_herself(self, name: str, ana: User, client_of: Clients) -> None:
        client = client_of(ana)
        before = everything_of(ana)
        refused(DEEDS[name].done_by(client, ana.pk), 403, "permission_denied")
        assert everything_of(ana) == before


class TestWhoHoldsMore:
    """Carla holds all permissions about users; root holds those and more."""

    @pytest.mark.parametrize("name", CHANGING)
    def test_is_changed_by_nobody_who_holds_less(
        self, name: str, root: User, person: Callable[..., User], role: Callable[..., Role], client_of: Clients
    ) -> None:
        deed = DEEDS[name]
        role("chief", *(set(roles.PERMISSIONS) - {"mails.view"}))
        chief = client_of(person("chief", role="chief"))
        boss = users.create("boss@example.com", actor=root, role=root.role)
        login.open_session(boss)
        before = everything_of(boss)
        refused(deed.done_by(chief, boss.pk), 403, "permission_denied")
        assert everything_of(boss) == before

    @pytest.mark.parametrize("name", [name for name in DEEDS if name not in CHANGING])
    def test_is_seen_by_whoever_may_see(self, name: str, root: User, holder: Callable[..., APIClient]) -> None:
        assert DEEDS[name].done_by(holder(DEEDS[name].permission), root.pk).status_code == 200

    @pytest.mark.parametrize("name", CHANGING)
    def test_an_equal_may(self, name: str, target: User, person: Callable[..., User], client_of: Clients) -> None:
        other = client_of(person("otto", role="admin"))
        users.set_role(target, Role.objects.get(name="admin"), actor=None)
        assert DEEDS[name].done_by(other, target.pk).status_code == DEEDS[name].status
