"""A user views, changes, exports and deletes their own account."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from tests.api.requests import (
    all_rows,
    events,
    log_in,
    may_log_in,
    me,
    pending_emails,
    post,
    receive_token,
    rows_without_traces,
)
from tests.conftest import PASSWORD, refused
from usermanager.environment import rate

ME = "/api/v1/users/me/"


@pytest.fixture
def client(ana: User, client_of: Callable[[User], APIClient]) -> APIClient:
    return client_of(ana)


def leave(client: APIClient, **body: Any) -> Any:
    return client.delete(ME, body or {"current_password": PASSWORD}, format="json")


def test_the_response_holds_the_fields_of_a_user_and_no_others(client: APIClient, ana: User) -> None:
    answer = client.get(ME)
    assert answer.status_code == 200
    body = answer.json()
    times = {name: body.pop(name) for name in ("created_at", "updated_at", "last_login_at")}
    assert all(time.endswith("Z") for time in times.values())
    assert body == {
        "id": str(ana.pk),
        "email": "ana@example.com",
        "full_name": "Ana",
        "role": "user",
        "is_active": True,
        "email_verified": True,
        "mfa_enabled": False,
        "locale": None,
        "metadata": {},
    }


def test_head_returns_only_the_headers(client: APIClient) -> None:
    answer = client.head(ME)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "change", [{"full_name": "Ana García"}, {"locale": "es"}, {"locale": None}, {"full_name": "", "locale": "en"}, {}]
)
def test_users_may_change_their_name_and_language(client: APIClient, change: dict[str, Any]) -> None:
    User.objects.update(locale="en")
    before = client.get(ME).json()
    answer = client.patch(ME, change, format="json")
    assert answer.status_code == 200
    body = answer.json()
    assert body == before | change | {"updated_at": body["updated_at"]}
    assert client.get(ME).json() == body
    assert events()[1:] == (["user:changed"] if before | change != before else [])


@pytest.mark.parametrize("name", ["ana", "carla", "root"])
def test_other_fields_are_ignored_even_for_administrators(
    name: str, request: pytest.FixtureRequest, client_of: Callable[[User], APIClient]
) -> None:
    user: User = request.getfixturevalue(name)
    client = client_of(user)
    before = client.get(ME).json()
    sneaked: dict[str, Any] = {
        "id": "0198c0de-0000-7000-8000-000000000001",
        "email": "other@example.com",
        "role": "admin" if name != "root" else "user",
        "is_active": False,
        "email_verified": False,
        "mfa_enabled": False,
        "metadata": {"plan": "pro"},
        "password": "another good password",
        "created_at": "2000-01-01T00:00:00Z",
        "unknown": 1,
    }
    answer = client.patch(ME, sneaked, format="json")
    assert answer.status_code == 200
    assert answer.json() == client.get(ME).json() == before
    assert may_log_in(user.email)


def test_invalid_fields_change_nothing(client: APIClient) -> None:
    before = all_rows()
    document = refused(client.patch(ME, {"full_name": "x" * 151, "locale": "fr"}, "json"), 400, "validation_error")
    assert {error["field"] for error in document["errors"]} == {"full_name", "locale"}
    refused(client.patch(ME, {"full_name": "a\nb"}, "json"), 400, "validation_error")
    assert all_rows() == before


def test_a_user_who_leaves_is_deleted_with_all_data(client: APIClient, ana: User, bruno: User) -> None:
    other = log_in(APIClient()).json()
    post(APIClient(), "auth/password/reset/", email="ana@example.com")
    secret = receive_token("password_reset")
    log_in(APIClient(), password="wrong")
    answer = leave(client)
    assert (answer.status_code, answer.content) == (204, b"")
    stored = all_rows()
    assert [row["email"] for row in stored["User"]] == ["bruno@example.com"]
    assert stored["Session"] == stored["OneTimeToken"] == stored["OutboxMail"] == []
    assert "ana@" not in str(stored)
    assert AuditEvent.objects.latest("id").kind == "user:deleted"
    assert set(AuditEvent.objects.values_list("user_id", flat=True)) == {ana.pk}
    assert set(AuditEvent.objects.values_list("ip", "user_agent")) == {(None, "")}
    refused(me(other["access"]), 401, "token_not_valid")
    refused(client.get(ME), 401, "token_not_valid")
    refused(post(APIClient(), "auth/token/refresh/", refresh=other["refresh"]), 401, "token_not_valid")
    link = post(APIClient(), "auth/password/reset/confirm/", token=secret, new_password="another good password")
    refused(link, 400, "invalid_token")
    refused(log_in(APIClient()), 401, "invalid_credentials")
    assert post(APIClient(), "auth/register/", email="ana@example.com", password=PASSWORD).status_code == 201


def test_leaving_requires_the_password(client: APIClient) -> None:
    before = rows_without_traces()
    (error,) = refused(leave(client, current_password="wrong"), 400, "validation_error")["errors"]
    assert (error["field"], error["code"]) == ("current_password", "wrong_password")
    refused(client.delete(ME), 400, "validation_error")
    refused(APIClient().delete(ME, {"current_password": PASSWORD}, "json"), 401, "not_authenticated")
    assert rows_without_traces() == before


def test_guessed_passwords_are_limited(client: APIClient, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_LOGIN = True, rate("2/5m")
    assert [leave(client, current_password="wrong").status_code for _number in range(3)] == [400, 400, 429]
    refused(leave(client), 429, "throttled")
    assert User.objects.get()


def test_the_last_administrator_cannot_leave(
    root: User, client_of: Callable[[User], APIClient], person: Callable[..., User]
) -> None:
    person("dora", role="admin", is_active=False)
    client = client_of(root)
    before = rows_without_traces()
    refused(leave(client), 409, "last_admin")
    assert rows_without_traces() == before
    User.objects.update(is_active=True)
    assert leave(client).status_code == 204


def test_users_can_export_their_data(client: APIClient, ana: User, bruno: User) -> None:
    log_in(APIClient(), "bruno@example.com")
    post(APIClient(), "auth/password/reset/", email="ana@example.com")
    secret = receive_token("password_reset")
    answer = client.get(f"{ME}export/")
    assert answer.status_code == 200
    body = answer.json()
    assert body["user"].items() >= client.get(ME).json().items()
    (session,) = body["sessions"]
    assert session["current"] is True
    assert [event["kind"] for event in body["audit"]] == ["user:exported", "session:opened"]
    (token,) = body["one_time_tokens"]
    assert (token["purpose"], token["email"]) == ("password_reset", "ana@example.com")
    assert [mail["kind"] for mail in body["mails"]] == ["password_reset"]
    text = answer.content.decode()
    assert "bruno" not in text
    for kept in (secret, ana.password, "digest", "generation", "email_key"):
        assert kept not in text


def test_the_data_of_other_users_cannot_be_exported(client: APIClient, bruno: User) -> None:
    refused(APIClient().get(f"{ME}export/"), 401, "not_authenticated")
    refused(client.get(f"/api/v1/users/{bruno.pk}/export/"), 404, "not_found")
    assert pending_emails() == []
