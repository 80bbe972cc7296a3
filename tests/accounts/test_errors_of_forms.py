"""Each form of the panel's logins and second factors, and of the pages, answers every error of its use case."""

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import (
    credentials,
    enrolment,
    factor_changes,
    login,
    passkey_login,
    passkey_registration,
    passwords,
    second_factor,
)
from accounts.errors import AccountError, EnrolmentRequired, InvalidInput, PasskeyCounterFell, all_errors
from accounts.models import Role, User
from accounts.pages import link_requests, links
from tests.accounts.pages import second_factor_page
from tests.accounts.pages.link_pages import CASES, hidden
from tests.admin.second_factors import CONFIRM, FACTORS, LOGIN, PASSWORDS, SECOND, send_password, sign_in
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import enrol

pytestmark = pytest.mark.django_db
NO_ID = str(UUID(int=0))
SENT_PASSWORD = {"username": "root@example.com", "password": PASSWORD}
NEW_PASSWORD = {"old_password": PASSWORD, "new_password1": OTHER_PASSWORD, "new_password2": OTHER_PASSWORD}
PAGES = [links.ResetPassword, links.VerifyEmail, links.ChangeEmail, links.AcceptInvitation]


class Form(NamedTuple):
    """A form: its path and fields, and where its use case is."""

    path: str
    fields: dict[str, str]
    owner: object
    use_case: str


def errors() -> list[AccountError]:
    """Returns one error of each kind but the most general one, which no use case raises."""
    made: dict[type[AccountError], Callable[[], AccountError]] = {
        InvalidInput: lambda: InvalidInput("x", "invalid", "x"),
        PasskeyCounterFell: lambda: PasskeyCounterFell(UUID(int=0)),
        EnrolmentRequired: lambda: EnrolmentRequired(members={"needs_mail": False}),
    }
    return [made.get(kind, lambda kind=kind: kind("x"))() for kind in all_errors() if kind is not AccountError]


def check(client: Client, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends the form once for each error. The test client raises an error that the view lets through."""
    cookies = copy.deepcopy(client.cookies)
    raised = []
    for error in errors():

        def fail(*_values: object, error: AccountError = error, **_options: object) -> None:
            raised.append(error)
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(form.owner, form.use_case, staticmethod(fail) if isinstance(form.owner, type) else fail)
            client.cookies = copy.deepcopy(cookies)
            status = client.post(form.path, form.fields).status_code
        assert status < 500 or status == error.status == 503, error
    assert {type(error) for error in raised} == {type(error) for error in errors()}


@pytest.mark.parametrize(
    "form",
    [
        Form(LOGIN, SENT_PASSWORD, credentials, "check_password"),
        Form(LOGIN, SENT_PASSWORD, login, "begin_second_step_if_needed"),
        Form(LOGIN, SENT_PASSWORD, login, "open_session"),
        Form(LOGIN, {"passkey": "{}"}, passkey_login, "finish"),
        Form("/forgot-password", {"email": "root@example.com"}, link_requests.ForgotPassword, "request_link"),
        Form("/resend-verification", {"email": "root@example.com"}, link_requests.ResendVerification, "request_link"),
    ],
    ids=lambda form: f"{form.path} {form.use_case}",
)
@pytest.mark.usefixtures("root")
def test_of_a_visitor(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    check(Client(), form, monkeypatch)


def test_of_the_second_step(root: User, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(root)
    client = Client()
    send_password(client, email=root.email)
    check(client, Form(SECOND, {"code": "000000"}, second_factor, "finish_login"), monkeypatch)


@pytest.mark.parametrize(
    "form",
    [
        Form(CONFIRM, {"code": "000000"}, second_factor, "step_up"),
        Form(FACTORS, {"operation": "begin"}, enrolment, "begin_totp"),
        Form(FACTORS, {"operation": "confirm", "code": "000000"}, enrolment, "confirm_totp"),
        Form(FACTORS, {"operation": "passkey", "passkey": "{}"}, enrolment, "require_allowed"),
        Form(FACTORS, {"operation": "passkey", "passkey": "{}"}, passkey_registration, "begin"),
        Form(FACTORS, {"operation": "passkey", "passkey": "{}"}, passkey_registration, "finish"),
        Form(FACTORS, {"operation": "rename", "factor": NO_ID, "name": "x"}, factor_changes, "rename"),
        Form(FACTORS, {"operation": "remove", "factor": NO_ID}, factor_changes, "remove"),
        Form(FACTORS, {"operation": "codes"}, factor_changes, "make_recovery_codes"),
        Form(PASSWORDS, NEW_PASSWORD, passwords, "change"),
    ],
    ids=lambda form: f"{form.fields.get('operation', form.path)} {form.use_case}",
)
def test_of_a_user_with_a_factor(form: Form, root: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = sign_in(root, enrol(root))
    client.post(FACTORS, {"operation": "begin"})
    check(client, form, monkeypatch)


def test_of_a_step_up_with_the_password(root: User, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.force_login(root)
    check(client, Form(CONFIRM, {"password": PASSWORD}, second_factor, "step_up_with_password"), monkeypatch)


@pytest.mark.parametrize(
    "form",
    [
        Form(FACTORS, {"operation": "begin"}, enrolment, "begin_totp"),
        Form(FACTORS, {"operation": "confirm", "code": "000000"}, enrolment, "confirm_totp"),
        Form(FACTORS, {"operation": "passkey", "passkey": "{}"}, passkey_registration, "finish"),
    ],
    ids=lambda form: form.use_case,
)
def test_of_a_user_who_must_add_a_factor(
    form: Form, root: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MFA_GRACE = timedelta()
    Role.objects.filter(pk=root.role_id).update(mfa="required")
    client = Client()
    send_password(client, email=root.email)
    client.get(FACTORS)  # begins an enrolment
    check(client, form, monkeypatch)


@pytest.mark.parametrize("number", range(len(PAGES)), ids=lambda number: PAGES[number].__name__)
def test_of_the_pages_behind_links(number: int, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[number]
    fields = case.filled | {"token": second_factor_page.issue(ana, case.purpose)}
    check(Client(), Form(case.path, fields, PAGES[number], "use_case"), monkeypatch)


@pytest.mark.parametrize(
    "form",
    [
        Form("", {"password": PASSWORD}, enrolment, "begin_with_link"),
        Form("", {"password": PASSWORD}, enrolment, "in_pending_login"),
        Form("", {"password": PASSWORD}, enrolment, "begin_totp"),
        Form("", {"password": PASSWORD}, passkey_registration, "begin"),
        Form("", {"code": "000000"}, enrolment, "confirm_totp_without_login"),
        Form("", {"passkey": "{}", "name": "x"}, passkey_registration, "finish_without_login"),
    ],
    ids=lambda form: form.use_case,
)
def test_of_the_page_that_sets_up_a_second_factor(form: Form, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol(ana)
    factor_changes.reset(ana, actor=None)
    client, secret = Client(), second_factor_page.issue(ana)
    page = second_factor_page.sign_in(client, secret)
    later = {name: hidden(page, name) for name in ("mfa_token", "factor")}
    fields = form.fields | {"token": secret} | ({} if "password" in form.fields else later)
    check(client, form._replace(path=second_factor_page.PATH, fields=fields), monkeypatch)
