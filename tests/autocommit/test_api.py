"""Each operation of the API succeeds where every statement commits by itself, as in production.

In pytest's own transaction, a row lock would always work. PostgreSQL rejects it outside a transaction.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from pytest_django import Settings

from accounts import enrolment, passkey_login, passkey_registration, users
from accounts.mfa import pending_logins
from accounts.models import PendingLogin, TotpSecret, User
from tests.api.routes import UNSAFE, operations
from tests.authenticator import Authenticator
from tests.autocommit.scene import Scene
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import Phone, add_passkey

Body = Callable[[Scene], dict[str, Any]]
GetUser = Callable[[Scene], User]


class Case(NamedTuple):
    """The user who sends the request (None: not signed in), its body, the user that it is about, and the status."""

    sender: GetUser | None
    status: int
    body: Body = lambda scene: {}
    about: GetUser = lambda scene: scene.ana


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


def second_step(scene: Scene) -> dict[str, str]:
    code = scene.phone.code()
    return {"mfa_token": pending_logins.begin(scene.ana, PendingLogin.Purpose.LOGIN), "code": code}


def first_code(scene: Scene) -> dict[str, str]:
    begun = enrolment.begin_totp(enrolment.in_session(scene.session))
    return {"id": str(begun.id), "code": Phone(begun.secret).code()}


def with_a_factor(scene: Scene) -> dict[str, str]:
    assert scene.phone
    return {}


def must_enrol(scene: Scene) -> str:
    assert scene.session
    return pending_logins.begin(scene.ana, PendingLogin.Purpose.ENROLMENT)


def new_passkey(scene: Scene) -> dict[str, Any]:
    token = must_enrol(scene)
    options = passkey_registration.begin(enrolment.in_pending_login(token))
    return {"mfa_token": token, "passkey": Authenticator().create(options)}


def known_passkey(scene: Scene) -> dict[str, Any]:
    assert scene.session  # before the factor: it would need a second step
    return {"passkey": add_passkey(scene.ana).get(passkey_login.begin())}


def fallen_counter(scene: Scene) -> dict[str, Any]:
    authenticator = Authenticator()
    authenticator.counter = 5
    assert scene.session
    return {"passkey": add_passkey(scene.ana, authenticator).get(passkey_login.begin())}


CURRENT = {"current_password": PASSWORD}
CASES = {
    "GET audit/": Case(root, 200),
    "POST auth/login/second-factor/": Case(None, 200, second_step),
    "POST auth/passkey/": Case(None, 200, known_passkey),
    "POST auth/passkey/options/": Case(None, 200),
    "POST auth/passkeys/": Case(None, 201, new_passkey),
    "POST auth/passkeys/options/": Case(None, 200, lambda scene: {"mfa_token": must_enrol(scene)}),
    "POST auth/step-up/options/": Case(ana, 200),
    "POST auth/step-up/": Case(ana, 200, lambda scene: {"password": PASSWORD}),
    "POST auth/totp/": Case(ana, 201),
    "POST auth/totp/confirm/": Case(ana, 200, first_code),
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
    "POST auth/recovery-codes/": Case(ana, 200, with_a_factor),
    "POST auth/register/": Case(None, 201, lambda scene: {"email": address(), "password": PASSWORD}),
    "POST auth/token/refresh/": Case(None, 200, lambda scene: {"refresh": scene.refresh}),
    "POST auth/token/verify/": Case(None, 200, lambda scene: {"token": scene.access}),
    "GET roles/": Case(root, 200),
    "POST roles/": Case(root, 201, lambda scene: {"name": f"r-{uuid4().hex}", "permissions": ["users.view"]}),
    "GET roles/support/": Case(root, 200),
    "PUT roles/support/": Case(root, 200, lambda scene: {"name": scene.role.name, "mfa": "required"}),
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
    "GET users/ana/factors/": Case(root, 200, with_a_factor),
    "DELETE users/ana/factors/": Case(root, 204, with_a_factor),
    "GET users/ana/factors/factor/": Case(root, 200, with_a_factor),
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
    "GET users/me/factors/factor/": Case(ana, 200, with_a_factor),
    "PATCH users/me/factors/factor/": Case(ana, 200, lambda scene: with_a_factor(scene) | {"name": "Phone"}),
    "DELETE users/me/factors/factor/": Case(ana, 204, with_a_factor),
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


# Other results of the same operations.
ERRORS = {
    "login with a wrong password": ("POST auth/login/", Case(None, 401, wrong_login)),
    "login once too often": ("POST auth/login/", Case(None, 429, too_many_logins)),
    "a passkey whose counter fell": ("POST auth/passkey/", Case(None, 401, fallen_counter)),
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
    "a role that a user has": ("DELETE roles/support/", Case(root, 409, give_role)),
}


def test_each_operation_has_a_case() -> None:
    assert {str(operation) for operation in operations("GET", *UNSAFE)} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_it_succeeds(scene: Scene, name: str) -> None:
    send(scene, name, CASES[name])


@pytest.mark.parametrize(("name", "case"), ERRORS.values(), ids=ERRORS)
def test_it_answers_an_error(scene: Scene, name: str, case: Case) -> None:
    send(scene, name, case)


def test_an_address_is_confirmed_a_second_time(scene: Scene) -> None:
    body = {"token": scene.verification_token()}
    for _time in range(2):
        send(scene, "POST auth/email/verify/", Case(None, 204, lambda scene: body))


def test_the_owner_of_a_known_address_gets_an_email_if_addresses_must_be_confirmed(
    scene: Scene, settings: Settings
) -> None:
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
    names |= {"factor": str(TotpSecret.objects.filter(user=scene.ana).values_list("pk", flat=True).first())}
    path = "/".join(names.get(part, part) for part in path.split("/"))
    client = scene.client(case.sender(scene) if case.sender else None)
    answer = client.generic(verb, f"/api/v1/{path}", json.dumps(body) if body else "", "application/json")
    assert answer.status_code == case.status, answer.content
