"""Each operation of the API succeeds where every statement commits by itself, as in production.

In pytest's own transaction a row lock that PostgreSQL refuses outside one goes unnoticed.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from pytest_django import Settings

from accounts import users
from accounts.models import User
from tests.api.routes import UNSAFE, operations
from tests.autocommit.scene import Scene
from tests.conftest import OTHER_PASSWORD, PASSWORD

Body = Callable[[Scene], dict[str, Any]]
Who = Callable[[Scene], User]


class Case(NamedTuple):
    """Who sends what (nobody: without a token), about whom, and the status of the answer."""

    sender: Who | None
    status: int
    body: Body = lambda scene: {}
    about: Who = lambda scene: scene.ana


def ana(scene: Scene) -> User:
    return scene.ana


def root(scene: Scene) -> User:
    return scene.root


def invited(scene: Scene) -> User:
    return scene.invited


def address() -> str:
    return f"new-{uuid4().hex[:10]}@example.com"


def change() -> dict[str, str]:
    return {"full_name": "Ana G.", "email": address(), "role": "admin"}


CURRENT = {"current_password": PASSWORD}
CASES = {
    "GET audit/": Case(root, 200),
    "POST auth/email/change/": Case(ana, 202, lambda scene: {"new_email": address(), **CURRENT}),
    "POST auth/email/change/confirm/": Case(None, 204, lambda scene: {"token": scene.change_token()}),
    "POST auth/email/verify/": Case(None, 204, lambda scene: {"token": scene.verification_token()}),
    "POST auth/email/verify/resend/": Case(None, 202, lambda scene: {"email": scene.unconfirmed.email}),
    "POST auth/invitation/accept/": Case(
        None, 204, lambda scene: {"token": scene.invitation_token(), "password": OTHER_PASSWORD}
    ),
    "POST auth/login/": Case(None, 200, lambda scene: {"email": scene.ana.email, "password": PASSWORD}),
    "POST auth/logout/": Case(ana, 204),
    "POST auth/logout/all/": Case(ana, 204),
    "POST auth/password/change/": Case(ana, 204, lambda scene: {"new_password": OTHER_PASSWORD, **CURRENT}),
    "POST auth/password/reset/": Case(None, 202, lambda scene: {"email": scene.ana.email}),
    "POST auth/password/reset/confirm/": Case(
        None, 204, lambda scene: {"token": scene.reset_token(), "new_password": OTHER_PASSWORD}
    ),
    "POST auth/register/": Case(None, 201, lambda scene: {"email": address(), "password": PASSWORD}),
    "POST auth/token/refresh/": Case(None, 200, lambda scene: {"refresh": scene.refresh}),
    "POST auth/token/verify/": Case(None, 200, lambda scene: {"token": scene.access}),
    "GET roles/": Case(root, 200),
    "POST roles/": Case(root, 201, lambda scene: {"name": f"r-{uuid4().hex}", "permissions": ["users.view"]}),
    "GET roles/support/": Case(root, 200),
    "PUT roles/support/": Case(root, 200, lambda scene: {"name": scene.role.name, "permissions": ["users.view"]}),
    "PATCH roles/support/": Case(root, 200, lambda scene: {"permissions": ["users.view", "billing.refund"]}),
    "DELETE roles/support/": Case(root, 204),
    "GET users/": Case(root, 200),
    "POST users/": Case(root, 201, lambda scene: {"email": address()}),
    "GET users/ana/": Case(root, 200),
    "PUT users/ana/": Case(root, 200, lambda scene: change()),
    "PATCH users/ana/": Case(root, 200, lambda scene: change()),
    "DELETE users/ana/": Case(root, 204),
    "POST users/ana/activate/": Case(root, 200, about=lambda scene: scene.suspended),
    "GET users/ana/audit/": Case(root, 200),
    "GET users/ana/invite/": Case(root, 200, about=invited),
    "POST users/ana/invite/": Case(root, 202, about=invited),
    "DELETE users/ana/invite/": Case(root, 204, about=invited),
    "POST users/ana/password-reset/": Case(root, 202),
    "GET users/ana/sessions/": Case(root, 200),
    "DELETE users/ana/sessions/": Case(root, 204),
    "DELETE users/ana/sessions/session/": Case(root, 204),
    "GET users/ana/suspend/": Case(root, 200, about=lambda scene: scene.suspended),
    "POST users/ana/suspend/": Case(root, 200, lambda scene: {"reason": "Spam"}),
    "POST users/ana/unlock/": Case(root, 200),
    "GET users/me/": Case(ana, 200),
    "PATCH users/me/": Case(ana, 200, lambda scene: {"full_name": "Ana G."}),
    "DELETE users/me/": Case(ana, 204, lambda scene: CURRENT),
    "GET users/me/export/": Case(ana, 200),
}


def wrong_login(scene: Scene) -> dict[str, str]:
    return {"email": scene.ana.email, "password": OTHER_PASSWORD}


def too_many_logins(scene: Scene) -> dict[str, str]:
    body = wrong_login(scene)
    while scene.client().post("/api/v1/auth/login/", body, format="json").status_code == 401:
        pass
    return body


def give_role(scene: Scene) -> dict[str, str]:
    users.set_role(scene.ana, scene.role, actor=None)
    return {}


# Other ways through the same operations.
REFUSED = {
    "login with a wrong password": ("POST auth/login/", Case(None, 401, wrong_login)),
    "login once too often": ("POST auth/login/", Case(None, 429, too_many_logins)),
    "login after a suspension": (
        "POST auth/login/",
        Case(None, 403, lambda scene: {"email": scene.suspended.email, "password": PASSWORD}),
    ),
    "a wrong current password": (
        "POST auth/password/change/",
        Case(ana, 400, lambda scene: {"new_password": OTHER_PASSWORD, "current_password": OTHER_PASSWORD}),
    ),
    "an address that is taken": (
        "POST auth/register/",
        Case(None, 400, lambda scene: {"email": scene.ana.email, "password": PASSWORD}),
    ),
    "an unknown token": (
        "POST auth/password/reset/confirm/",
        Case(None, 400, lambda scene: {"token": "x", "new_password": OTHER_PASSWORD}),
    ),
    "a role that somebody has": ("DELETE roles/support/", Case(root, 409, give_role)),
}


def test_each_operation_has_a_case() -> None:
    assert {str(operation) for operation in operations("GET", *UNSAFE)} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_it_succeeds(scene: Scene, name: str) -> None:
    send(scene, name, CASES[name])


@pytest.mark.parametrize(("name", "case"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused(scene: Scene, name: str, case: Case) -> None:
    send(scene, name, case)


def test_an_address_is_confirmed_a_second_time(scene: Scene) -> None:
    body = {"token": scene.verification_token()}
    for _time in range(2):
        send(scene, "POST auth/email/verify/", Case(None, 204, lambda scene: body))


def test_where_addresses_must_be_confirmed_a_known_one_is_told_by_email(scene: Scene, settings: Settings) -> None:
    settings.EMAIL_VERIFICATION = "required"
    body = {"email": scene.ana.email, "password": PASSWORD}
    send(scene, "POST auth/register/", Case(None, 202, lambda scene: body))
    send(scene, "POST auth/login/", Case(None, 403, lambda scene: {**body, "email": scene.unconfirmed.email}))
    unproven = {**body, "email": address()}
    for _time in range(2):
        send(scene, "POST auth/register/", Case(None, 202, lambda scene: unproven))
    assert not User.objects.get(email=unproven["email"]).has_usable_password()


def send(scene: Scene, name: str, case: Case) -> None:
    verb, path = name.split()
    body = case.body(scene)
    names = {"ana": str(case.about(scene).pk), "support": scene.role.name, "session": str(scene.session.pk)}
    path = "/".join(names.get(part, part) for part in path.split("/"))
    client = scene.client(case.sender(scene) if case.sender else None)
    answer = client.generic(verb, f"/api/v1/{path}", json.dumps(body) if body else "", "application/json")
    assert answer.status_code == case.status, answer.content
