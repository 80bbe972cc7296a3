"""Attempts to escalate privileges: forbidden fields, ids of other users, roles with more permissions."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.attacks.client import Answer, Call
from tests.attacks.service import API, MANAGER, PASSWORD, Person, Service, log_in, new_address

#: Everything that a row holds or a user's form might, under each name that a careless serializer would take.
FORBIDDEN_FIELDS: dict[str, Any] = {
    "role": "admin",
    "role_id": 1,
    "roles": ["admin"],
    "permissions": ["users.view", "users.delete", "*"],
    "is_active": False,
    "is_staff": True,
    "is_superuser": True,
    "is_admin": True,
    "is_builtin": True,
    "email_verified": True,
    "emailVerified": True,
    "metadata": {"plan": "enterprise"},
    "id": str(uuid4()),
    "pk": str(uuid4()),
    "email_key": "root@example.com",
    "created_at": "2001-01-01T00:00:00Z",
    "updated_at": "2001-01-01T00:00:00Z",
    "last_login_at": "2001-01-01T00:00:00Z",
    "password_hash": "bcrypt$x",
    "sessions": [],
    "user": str(uuid4()),
    "user_id": str(uuid4()),
    "actor": str(uuid4()),
    "__proto__": {"role": "admin"},
    "constructor": {"prototype": {"role": "admin"}},
    "role__name": "admin",
    "role.name": "admin",
    "$set": {"role": "admin"},
}
GUARDED = ("id", "role", "is_active", "email_verified", "metadata", "created_at", "email", "last_login_at")
NOT_SET = {"role": "user", "is_active": True, "email_verified": False, "metadata": {}}


def test_a_registration_sets_only_allowed_fields(service: Service) -> None:
    email = new_address("climber")
    body = FORBIDDEN_FIELDS | {"email": email, "password": PASSWORD, "full_name": "Climber", "locale": "es"}
    user = service.must(201, "POST", "auth/register/", **body)
    assert {name: user[name] for name in NOT_SET} == NOT_SET
    assert user["id"] != FORBIDDEN_FIELDS["id"]
    assert user["created_at"] > "2020"
    assert log_in(service, email).ask("GET", "users/").code == "permission_denied"


@pytest.mark.parametrize("path", ["users/me/", "users/{id}/"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_users_change_only_allowed_fields_of_their_own_account(
    method: str, path: str, service: Service, ana: Person
) -> None:
    before = ana.must(200, "GET", "users/me/")
    body = FORBIDDEN_FIELDS | {"email": new_address(), "password": "another password here", "full_name": "Ana María"}
    answer = ana.ask(method, path.format(id=ana.id), **body)
    assert answer.status in (200, 405)
    after = ana.must(200, "GET", "users/me/")
    assert {name: after[name] for name in GUARDED} == {name: before[name] for name in GUARDED}
    assert log_in(service, ana.email).id == ana.id


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("auth/login/", {}),
        ("auth/password/change/", {"current_password": PASSWORD, "new_password": "fennel gazebo hamlet"}),
        ("auth/email/change/", {"current_password": PASSWORD, "new_email": "{new}"}),
        ("auth/token/refresh/", {"refresh": "{refresh}"}),
        ("auth/logout/all/", {}),
    ],
)
def test_no_other_request_sets_forbidden_fields(
    path: str, more: dict[str, str], service: Service, root: Person, ana: Person
) -> None:
    before = root.must(200, "GET", f"users/{ana.id}/")
    texts = {key: text.format(new=new_address(), refresh=ana.refresh) for key, text in more.items()}
    answer = ana.ask("POST", path, **FORBIDDEN_FIELDS | {"email": ana.email, "password": PASSWORD} | texts)
    assert answer.status < 300
    after = root.must(200, "GET", f"users/{ana.id}/")
    assert after | {"updated_at": "", "last_login_at": ""} == before | {"updated_at": "", "last_login_at": ""}


def routes(victim: str, session: str) -> list[Call]:
    """Returns each action on another user, and each view of one."""
    return [
        Call("GET", f"{API}users/{victim}/"),
        Call("HEAD", f"{API}users/{victim}/"),
        Call("PUT", f"{API}users/{victim}/", body={"email": new_address(), "full_name": "Taken"}),
        Call("PATCH", f"{API}users/{victim}/", body={"full_name": "Taken"}),
        Call("DELETE", f"{API}users/{victim}/"),
        *[
            Call("POST", f"{API}users/{victim}/{action}/", body={})
            for action in ("suspend", "activate", "unlock", "invite", "password-reset")
        ],
        Call("GET", f"{API}users/{victim}/sessions/"),
        Call("DELETE", f"{API}users/{victim}/sessions/"),
        Call("DELETE", f"{API}users/{victim}/sessions/{session}/"),
        Call("GET", f"{API}users/{victim}/audit/"),
    ]


def as_(person: Person, call: Call) -> Answer:
    return person.service.send(Call(call.method, call.path, person.access, call.body))


def test_a_user_without_permissions_gets_404_for_existing_and_unknown_ids(
    service: Service, ana: Person, bruno: Person
) -> None:
    before, session = _state(bruno), _session_of(bruno)
    for real, made_up in zip(routes(bruno.id, session), routes(str(uuid4()), str(uuid4())), strict=True):
        responses = [as_(ana, call) for call in (real, made_up)]
        assert {answer.status for answer in responses} == {404}, real
        assert len({answer.text.replace(answer.headers["X-Request-ID"], "") for answer in responses}) == 1
    assert _state(bruno) == before


def test_the_session_of_another_user_is_not_found_at_ones_own_path(
    service: Service, ana: Person, bruno: Person
) -> None:
    session = _session_of(bruno)
    for whose in ("me", ana.id):
        assert ana.ask("DELETE", f"users/{whose}/sessions/{session}/").code == "not_found"
    for token in (bruno.refresh,):
        assert ana.ask("POST", "auth/logout/", refresh=token[:-4] + "AAAA").code == "token_not_valid"
    assert bruno.ask("GET", "users/me/").status == 200


@pytest.mark.parametrize("spelling", ["upper", "braces", "urn", "no dashes", "me/../", "padded", "list"])
def test_another_spelling_of_an_id_grants_no_access(
    spelling: str, service: Service, ana: Person, bruno: Person
) -> None:
    one = {
        "upper": bruno.id.upper(),
        "braces": f"%7B{bruno.id}%7D",
        "urn": f"urn:uuid:{bruno.id}",
        "no dashes": bruno.id.replace("-", ""),
        "me/../": f"me/../{bruno.id}",
        "padded": f"%20{bruno.id}%20",
        "list": f"{ana.id},{bruno.id}",
    }[spelling]
    before = _state(bruno)
    for call in routes(one, str(uuid4())):
        assert as_(ana, call).status == 404, call
    assert _state(bruno) == before


def test_a_manager_cannot_change_a_user_with_more_permissions(service: Service, root: Person, carla: Person) -> None:
    before = _state(root)
    session = _session_of(root)
    reads = {"GET", "HEAD"}
    for call in routes(root.id, session):
        answer = as_(carla, call)
        assert answer.status == (200 if call.method in reads and not call.path.endswith("audit/") else 403), call
    assert _state(root) == before
    assert log_in(service, root.email, root.password).id == root.id


def test_an_actor_cannot_grant_permissions_they_lack(
    service: Service, root: Person, ana: Person, carla: Person, with_role: Callable[..., Person]
) -> None:
    assigner = with_role("assigner", *MANAGER, "roles.assign", "roles.view", "roles.change")
    own_role = assigner.must(200, "GET", "users/me/")["role"]
    richer = f"richer-{uuid4().hex[:8]}"
    root.must(201, "POST", "roles/", name=richer, permissions=["audit.view", "billing.refund"])
    for person, role, status in [
        (carla, own_role, 403),  # may change users, but not their roles
        (carla, "admin", 403),
        (assigner, "admin", 403),
        (assigner, richer, 403),
        (assigner, "nonsense", 400),
        (assigner, ["admin"], 400),
        (assigner, {"name": "admin"}, 400),
        (assigner, own_role, 200),
    ]:
        assert person.ask("PATCH", f"users/{ana.id}/", role=role).status == status, (person.email, role)
        created = person.ask("POST", "users/", email=new_address(), password=PASSWORD, role=role)
        assert created.status == (201 if status == 200 else status)
        assert person.ask("PATCH", f"users/{person.id}/", role=role).status == status
    before = root.must(200, "GET", f"roles/{richer}/")
    for method in ("PUT", "PATCH", "DELETE"):
        body = None if method == "DELETE" else {"name": richer, "permissions": []}
        for role in (richer, "admin"):
            call = Call(method, f"{API}roles/{role}/", assigner.access, body)
            assert service.send(call).code in ("permission_denied", "conflict"), call
    assert root.must(200, "GET", f"roles/{richer}/") == before
    for wanted in (["audit.view"], ["users.view", "billing.refund"], ["*"], ["users.*"], ["Users.View"]):
        assert assigner.ask("POST", "roles/", name="mine", permissions=wanted).status in (400, 403)
        assert assigner.ask("PATCH", f"roles/{own_role}/", permissions=wanted).status in (400, 403)


def test_a_demotion_applies_to_the_next_request_of_every_process(service: Service, root: Person, carla: Person) -> None:
    root.must(200, "PATCH", f"users/{carla.id}/", role="user")
    calls = [Call("GET", f"{API}users/", carla.access)] * 12
    assert {answer.status for answer in service.at_once(calls)} == {403}


FILTERS = ["password", "password__startswith", "email_key__startswith", "role__permissions", "sessions__ip", "id__in"]
METACHARACTERS = [
    "%",
    "_",
    "\\",
    "'",
    '"',
    "';--",
    "' OR '1'='1",
    "') OR 1=1 --",
    "%25%27",
    "*",
    "NEAR(a b)",
    '"a" OR "b',
    "a AND",
    "^",
    "{x}",
    "%s",
    "$1",
    "a" * 500,
    "\u202e",
    "ſ",
    "İ",
]


def test_only_documented_filters_and_orderings_are_used(service: Service, root: Person, ana: Person) -> None:
    all_users = root.must(200, "GET", "users/?page_size=200&count=true")["count"]
    for name in FILTERS:
        assert root.must(200, "GET", f"users/?{name}=a&count=true")["count"] >= all_users, name
        assert root.ask("GET", f"users/?ordering={name}").code == "validation_error"
        assert root.ask("GET", f"users/?ordering=-{name}").code == "validation_error"
    for name in ("search", "role", "is_active", "created_after"):
        assert ana.ask("GET", f"users/?{name}=a").code == "permission_denied"


def test_a_search_is_taken_literally(service: Service, root: Person, ana: Person) -> None:
    for text in METACHARACTERS:
        for name in ("search", "role"):
            found = root.must(200, "GET", f"users/?{name}={quote(text)}&page_size=200")["results"]
            assert all(text.casefold() in f"{one['email']} {one['full_name']}".casefold() for one in found), text
    for name in (
        "search",
        "role",
        "kind",
        "user",
        "actor",
        "after",
        "created_after",
        "cursor",
        "ordering",
        "page_size",
    ):
        for text in ("%00", "a%00b", "%ff", "%ed%a0%80"):
            for path in ("users", "audit", "roles"):
                assert root.ask("GET", f"{path}/?{name}={text}").status in (200, 400), (path, name, text)


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00%2B14:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01",
        "10000-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "now",
        "1e9",
        "-1",
        "2026-W01-1",
    ],
)
def test_no_time_causes_a_500(moment: str, service: Service, root: Person) -> None:
    for query in (f"users/?created_after={moment}", f"users/?last_login_before={moment}", f"audit/?before={moment}"):
        assert root.ask("GET", query).status in (200, 400), query


def _session_of(person: Person) -> str:
    sessions = person.must(200, "GET", "users/me/sessions/")["results"]
    return str(next(session["id"] for session in sessions if session["current"]))


def _state(person: Person) -> tuple[Any, Any]:
    return person.must(200, "GET", "users/me/"), person.must(200, "GET", "users/me/sessions/")["results"]
