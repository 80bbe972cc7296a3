"""The statements of the flows that write, in their order, each as its verb and its table.

Each commit waits for the disk, and a statement takes the time of a round trip. A change that adds one changes this
table, and its commit says what the statement is for.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts import enrolment
from accounts.mfa import pending_logins
from accounts.models import PendingLogin, Session
from tests.autocommit.scene import Scene
from tests.autocommit.test_api import address
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import Phone, enrol
from tests.statements import named

EVENT = ["SELECT chain", "INSERT event", "UPDATE chain"]
COUNT_NOTICE = ["SELECT user", "INSERT limit"]  # of an address that is not confirmed
LOGIN_ATTEMPT = ["BEGIN", "INSERT limit", "COMMIT"]  # several limits in one statement
RIGHT_PASSWORD = ["BEGIN", "CHANGE limit", "CHANGE limit", "COMMIT"]  # one deleted, one refunded: by order of keys


class Flow(NamedTuple):
    method: str
    path: str
    status: int
    statements: list[str]
    body: Callable[[Scene], dict[str, str]] = lambda _scene: {}
    is_signed_in: bool = False
    verification: str = "optional"


def second_step(scene: Scene) -> dict[str, str]:
    phone = enrol(scene.ana)
    return {"mfa_token": pending_logins.begin(scene.ana, PendingLogin.Purpose.LOGIN), "code": phone.code()}


def code_of_new_app(scene: Scene) -> dict[str, str]:
    phone = enrol(scene.ana)
    Session.objects.filter(user=scene.ana).update(revoked_at=None, amr="pwd otp mfa")
    return {"code": phone.code()}


def first_code(scene: Scene) -> dict[str, str]:
    begun = enrolment.begin_totp(enrolment.in_session(Session.objects.filter(user=scene.ana).latest("id")))
    return {"id": str(begun.id), "code": Phone(begun.secret).code()}


REGISTRATION = [
    *("BEGIN", "INSERT limit", "COMMIT"),
    *("BEGIN", "SELECT role", "INSERT user", *EVENT, *COUNT_NOTICE, "INSERT email", "COMMIT"),
]
FLOWS = {
    "refresh": Flow(
        *("post", "auth/token/refresh/", 200),
        ["SELECT session", "UPDATE session"],
        lambda scene: {"refresh": scene.refresh},
    ),
    "change of one's name, the first within a minute": Flow(
        *("patch", "users/me/", 200),
        ["SELECT session", "BEGIN", "INSERT limit", "SELECT user", "UPDATE user", "SELECT event", *EVENT, "COMMIT"],
        lambda _scene: {"full_name": "Ana García"},
        is_signed_in=True,
    ),
    "change of one's name to the same": Flow(
        *("patch", "users/me/", 200),
        ["SELECT session", "BEGIN", "INSERT limit", "SELECT user", "COMMIT"],
        lambda scene: {"full_name": scene.ana.full_name},
        is_signed_in=True,
    ),
    "login in a known network": Flow(
        *("post", "auth/login/", 200),
        [
            *("SELECT user", "SELECT session", *LOGIN_ATTEMPT, *RIGHT_PASSWORD),
            *("BEGIN", "UPDATE user", "INSERT session", "SELECT session", *EVENT, "COMMIT"),
        ],
        lambda scene: {"email": scene.ana.email, "password": PASSWORD},
        is_signed_in=True,
    ),
    "failed login in a known network": Flow(
        *("post", "auth/login/", 401),
        ["SELECT user", "SELECT session", *LOGIN_ATTEMPT, "CHANGE limit", "BEGIN", *EVENT, "COMMIT"],
        lambda scene: {"email": scene.ana.email, "password": "wrong"},
        is_signed_in=True,
    ),
    "registration": Flow(
        "post", "auth/register/", 201, REGISTRATION, lambda _scene: {"email": address(), "password": PASSWORD}
    ),
    "registration with EMAIL_VERIFICATION=required": Flow(
        *("post", "auth/register/", 202, REGISTRATION),
        lambda _scene: {"email": address(), "password": PASSWORD},
        verification="required",
    ),
    "logout with the access token": Flow(
        *("post", "auth/logout/", 204),
        ["SELECT session", "BEGIN", "UPDATE session", *EVENT, "COMMIT"],
        is_signed_in=True,
    ),
    "logout with the refresh token": Flow(
        *("post", "auth/logout/", 204),
        ["SELECT session", "BEGIN", "UPDATE session", *EVENT, "COMMIT"],
        lambda scene: {"refresh": scene.refresh},
    ),
    "logout everywhere": Flow(
        *("post", "auth/logout/all/", 204),
        ["SELECT session", "BEGIN", "SELECT user", "DELETE pending login", "UPDATE session", *EVENT, "COMMIT"],
        is_signed_in=True,
    ),
    "change of one's password, with another session": Flow(
        *("post", "auth/password/change/", 204),
        [
            *("SELECT session", "INSERT limit"),
            *("SELECT session", *LOGIN_ATTEMPT, *RIGHT_PASSWORD),
            *("INSERT limit", "BEGIN", "SELECT user", *EVENT, "UPDATE user", "UPDATE token", "UPDATE user"),
            *("DELETE pending login", "UPDATE session", *EVENT, "SELECT limit", "CHANGE limit"),
            *("UPDATE email", "INSERT email", "COMMIT"),
        ],
        lambda scene: {"current_password": PASSWORD, "new_password": OTHER_PASSWORD, "unused": scene.refresh},
        is_signed_in=True,
    ),
    "login of a user with a second factor": Flow(
        *("post", "auth/login/", 403),
        [
            *("SELECT user", "SELECT session", "SELECT session", "SELECT limit", *LOGIN_ATTEMPT),
            *("BEGIN", *["CHANGE limit"] * 3, "COMMIT"),
            *("BEGIN", "SELECT user", "INSERT pending login", "SELECT pending login", *EVENT, "COMMIT"),
            *("SELECT app", "SELECT passkey", "SELECT recovery code"),
        ],
        lambda scene: {"email": scene.ana.email, "password": PASSWORD, "unused": enrol(scene.ana).code()},
    ),
    "second step of a login": Flow(
        *("post", "auth/login/second-factor/", 200),
        [
            *("SELECT pending login", *LOGIN_ATTEMPT, "UPDATE pending login", "SELECT app"),
            *("BEGIN", "SELECT user", "UPDATE pending login", "UPDATE app"),
            *("SAVEPOINT", "UPDATE user", "INSERT session", "SELECT session", *EVENT, "RELEASE", "COMMIT"),
            *("BEGIN", "CHANGE limit", "CHANGE limit", "COMMIT"),
        ],
        second_step,
    ),
    "step-up": Flow(
        *("post", "auth/step-up/", 200),
        [
            *("SELECT session", *LOGIN_ATTEMPT, "SELECT app"),
            *("BEGIN", "SELECT user", "UPDATE app", "SELECT session", "UPDATE session", *EVENT, "COMMIT"),
            *("BEGIN", "CHANGE limit", "CHANGE limit", "COMMIT"),
        ],
        code_of_new_app,
        is_signed_in=True,
    ),
    "begin of an enrolment": Flow(
        *("post", "auth/totp/", 201),
        ["SELECT session", "INSERT limit", "BEGIN", "SELECT user", "DELETE app", "INSERT app", "COMMIT"],
        is_signed_in=True,
    ),
    "end of an enrolment": Flow(
        *("post", "auth/totp/confirm/", 200),
        [
            *("SELECT session", "SELECT app", "BEGIN", "SELECT user", "DELETE app", "UPDATE app", "UPDATE user"),
            *("DELETE recovery code", "INSERT recovery code", "UPDATE token", *EVENT),
            *("DELETE pending login", "UPDATE session", "UPDATE email", "INSERT email"),
            *("SELECT session", "UPDATE session", *EVENT, "COMMIT"),
        ],
        first_code,
        is_signed_in=True,
    ),
}


def without_chains_of_other_tests(statements: list[str]) -> list[str]:
    """Counts a search for a chain once. A chain that another test sealed with another SECRET_KEY takes one more."""
    return [
        name
        for name, before in zip(statements, ["", *statements], strict=False)
        if name != before or "chain" not in name
    ]


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_takes_these_statements(scene: Scene, settings: Settings, name: str) -> None:
    flow = FLOWS[name]
    settings.EMAIL_VERIFICATION = flow.verification
    client = scene.client(scene.ana if flow.is_signed_in else None)
    if flow.is_signed_in:
        Session.objects.filter(user=scene.ana).update(ip=scene.ip)
    body = flow.body(scene)
    with CaptureQueriesContext(connection) as executed:
        answer = getattr(client, flow.method)(f"/api/v1/{flow.path}", body, format="json")
    assert answer.status_code == flow.status, answer.content
    statements = [named(query["sql"]) for query in executed.captured_queries]
    assert without_chains_of_other_tests(statements) == flow.statements
