"""Every error is a problem document (RFC 9457) for people and programs, without internals."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import translation
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import errors, login, permissions
from accounts.api.errors import DETAILS, TITLES
from accounts.models import User
from tests.api.requests import API, all_rows, log_in, post
from tests.conftest import PASSWORD, problem, refused

MEMBERS = ["type", "title", "status", "detail", "code", "instance"]
CODES = {
    **dict.fromkeys(("validation_error", "parse_error", "invalid_token"), 400),
    **dict.fromkeys(("not_authenticated", "token_not_valid", "invalid_credentials"), 401),
    **dict.fromkeys(("invalid_second_factor", "fresh_login_required"), 401),
    **dict.fromkeys(("second_factor_required", "enrolment_required"), 403),
    **dict.fromkeys(("permission_denied", "email_not_verified", "account_suspended", "registration_closed"), 403),
    **{"not_found": 404, "method_not_allowed": 405, "not_acceptable": 406, "last_admin": 409, "conflict": 409},
    **{"payload_too_large": 413, "unsupported_media_type": 415, "throttled": 429, "server_error": 500},
    "overloaded": 503,
}


def raised(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    """Returns the response to a login that raises the error."""

    def fail(**_input: object) -> None:
        raise error

    monkeypatch.setattr(login, "log_in", fail)
    return log_in(APIClient(raise_request_exception=False))


def test_the_document_has_all_members(stranger: APIClient, db: None, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://id.example.com"
    answer = stranger.get(f"{API}users/me/", headers={"X-Request-ID": "trace", "Accept-Language": "en"})
    assert refused(answer, 401, "not_authenticated") == {
        "type": "https://id.example.com/problems/not_authenticated",
        "title": "Not signed in",
        "status": 401,
        "detail": answer.json()["detail"],
        "code": "not_authenticated",
        "instance": "trace",
    }


def test_each_invalid_field_is_named(stranger: APIClient, db: None) -> None:
    document = refused(post(stranger, "auth/register/", email="x", password=PASSWORD), 400, "validation_error")
    assert list(document) == [*MEMBERS, "errors"]
    assert document["title"] == "Invalid input"
    assert document["errors"] == [{"field": "email", "code": "invalid", "detail": "Enter a valid email address."}]


def test_the_position_of_an_error_within_a_list_is_named(root: User, client_of: Callable[[User], APIClient]) -> None:
    body = {"name": "support", "permissions": ["users.view", "no permission"]}
    document = refused(client_of(root).post(f"{API}roles/", body, "json"), 400, "validation_error")
    assert [error["field"] for error in document["errors"]] == ["permissions.1"]


@pytest.mark.parametrize("error", errors.all_errors()[1:], ids=lambda error: error.__name__)
def test_each_kind_of_error_has_the_code_and_the_status_of_the_contract(
    error: type[errors.AccountError], monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    assert CODES[error.code] == error.status
    instance = error("email") if error is errors.AddressTaken else error.__new__(error)
    if error is errors.InvalidInput:
        instance = errors.InvalidInput(None, "odd", "It is odd.")
    elif error is not errors.AddressTaken:
        errors.AccountError.__init__(instance, retry_after=timedelta(seconds=1.2))
    answer = raised(monkeypatch, instance)
    document = problem(answer, error.status, error.code)
    assert document["title"]
    assert document["detail"]
    assert list(document)[:6] == MEMBERS
    assert ("errors" in document) is (error.code == "validation_error")
    assert ("WWW-Authenticate" in answer) is (error.status == 401)
    if "errors" not in document:
        assert answer["Retry-After"] == "2"


def test_an_error_of_no_single_field_names_no_field(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    answer = raised(monkeypatch, errors.InvalidInput(None, "odd", "It is odd."))
    assert refused(answer, 400, "validation_error")["errors"] == [
        {"field": None, "code": "odd", "detail": "It is odd."}
    ]


def test_every_code_of_the_contract_has_a_title_and_no_other_is_used() -> None:
    ours = {error.code for error in errors.all_errors()}
    assert ours | set(TITLES) | {"throttled"} == set(CODES)
    assert set(DETAILS) <= set(TITLES)


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("code", [code for code in CODES if code not in {"server_error"}])
def test_the_texts_are_translated(code: str, language: str) -> None:
    """The English and Spanish titles differ for each code."""
    titles = {error.code: error.title for error in errors.all_errors()} | TITLES
    with translation.override(language):
        shown = str(titles[code])
    with translation.override("es" if language == "en" else "en"):
        assert str(titles[code]) != shown
    assert code not in shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Http404("secret"), "not_found"),
        (PermissionDenied("secret"), "permission_denied"),
        (ValueError("secret"), "server_error"),
        (KeyError("secret"), "server_error"),
    ],
)
def test_errors_reveal_no_internals(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    db: None,
    error: Exception,
    code: str,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = raised(monkeypatch, error)
    document = problem(answer, CODES[code], code)
    assert document["instance"] == answer["X-Request-ID"]
    for inside in ("secret", "Error", "Traceback", "accounts/", PASSWORD):
        assert inside not in answer.content.decode()
    assert ("secret" in caplog.text) is (code == "server_error")
    assert PASSWORD not in caplog.text


def test_a_500_is_logged_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, db: None
) -> None:
    with caplog.at_level(logging.ERROR):
        raised(monkeypatch, ValueError("what went wrong"))
    assert "Traceback" in caplog.text
    assert "what went wrong" in caplog.text


def test_an_error_within_a_transaction_leaves_no_changes(
    monkeypatch: pytest.MonkeyPatch, root: User, ana: User, client_of: Callable[[User], APIClient]
) -> None:
    client = client_of(root)
    client.raise_request_exception = False
    before = all_rows()

    def fail(*_arguments: Any, **_others: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("accounts.audit.log.record", fail)
    refused(client.patch(f"{API}users/{ana.pk}/", {"full_name": "Other"}, "json"), 500, "server_error")
    assert all_rows() == before


@pytest.mark.parametrize(
    "path", ["users/nobody/", "users/0198c0de-0000-7000-8000-000000000009/", "roles/none/", "x/y/"]
)
def test_unknown_resources_are_not_found(root: User, client_of: Callable[[User], APIClient], path: str) -> None:
    document = refused(client_of(root).get(API + path), 404, "not_found")
    assert list(document) == MEMBERS


def test_a_missing_permission_is_not_named(ana: User, client_of: Callable[[User], APIClient]) -> None:
    for path in ("users/", "roles/", "audit/"):
        document = refused(client_of(ana).get(API + path), 403, "permission_denied")
        assert not any(name in str(document) for name in permissions.PERMISSIONS)
