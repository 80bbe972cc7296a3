"""A user registers."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.errors import Overloaded
from accounts.hashing import hashers, password_policy
from accounts.models import AuditEvent, User
from notifications.models import OutboxMail
from tests.api.requests import (
    API,
    all_rows,
    events,
    full_response,
    is_stored,
    log_in,
    may_log_in,
    pending_emails,
    post,
    rows_without_traces,
)
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from usermanager.environment import rate

FIELDS = ["id", "email", "full_name", "role", "is_active", "email_verified", "mfa_enabled", "locale", "metadata"]
TIMES = ["created_at", "updated_at", "last_login_at"]


def register(client: APIClient, email: str = "ana@example.com", password: str = PASSWORD, **fields: Any) -> Any:
    return post(client, "auth/register/", email=email, password=password, **fields)


@pytest.fixture
def required(settings: Settings, db: None) -> None:
    """Requires that users confirm their address."""
    settings.EMAIL_VERIFICATION = "required"


def test_the_response_holds_the_new_user(stranger: APIClient, db: None) -> None:
    answer = register(stranger, "Ana@Example.com", full_name="Ana", locale="es")
    assert answer.status_code == 201
    user = User.objects.get()
    body = answer.json()
    assert answer["Location"].endswith(f"/api/v1/users/{user.pk}/")
    assert list(body) == FIELDS + TIMES
    assert {name: body[name] for name in FIELDS} == {
        "id": str(user.pk),
        "email": "Ana@Example.com",
        "full_name": "Ana",
        "role": "user",
        "is_active": True,
        "email_verified": False,
        "mfa_enabled": False,
        "locale": "es",
        "metadata": {},
    }
    assert body["last_login_at"] is None
    assert body["created_at"] == user.created_at.isoformat().replace("+00:00", "Z")
    assert timezone.now() - user.created_at < timedelta(seconds=10)


def test_name_and_language_are_optional(stranger: APIClient, db: None) -> None:
    body = register(stranger).json()
    assert (body["full_name"], body["locale"]) == ("", None)
    assert register(stranger, "b@example.com", locale=None, full_name="").json()["locale"] is None


def test_only_the_hash_of_the_password_is_stored(stranger: APIClient, db: None) -> None:
    assert PASSWORD not in register(stranger).content.decode()
    assert User.objects.get().password.startswith("bcrypt_sha256$$2b$")
    assert not is_stored(PASSWORD)
    assert may_log_in()


def test_a_welcome_is_pending_and_the_registration_is_audited(stranger: APIClient, db: None) -> None:
    headers = {"Accept-Language": "es", "User-Agent": "curl/8", "X-Request-ID": "trace"}
    stranger.post(f"{API}auth/register/", {"email": "ana@example.com", "password": PASSWORD}, "json", headers=headers)
    user, mail, event = User.objects.get(), OutboxMail.objects.get(), AuditEvent.objects.get()
    assert (mail.kind, mail.email, mail.user, mail.language) == ("welcome", "ana@example.com", user, "es")
    assert (event.kind, event.user_id, event.actor_id) == ("user:registered", user.pk, user.pk)
    assert (event.ip, event.user_agent, event.request_id) == ("127.0.0.1", "curl/8", "trace")


def test_fields_that_only_an_administrator_may_set_are_ignored(stranger: APIClient, root: User) -> None:
    sneaked: dict[str, Any] = {
        "id": str(root.pk),
        "role": "admin",
        "role_id": str(root.role_id),
        "is_active": False,
        "is_staff": True,
        "is_superuser": True,
        "email_verified": True,
        "mfa_enabled": False,
        "email_key": "x@example.com",
        "metadata": {"plan": "pro"},
        "created_at": "2000-01-01T00:00:00Z",
        "last_login_at": "2000-01-01T00:00:00Z",
        "permissions": ["users.view"],
        "unknown": {"a": [1]},
    }
    body = register(stranger, **sneaked).json()
    assert body["id"] != str(root.pk)
    assert (body["role"], body["is_active"], body["email_verified"], body["metadata"]) == ("user", True, False, {})
    assert body["created_at"] > "2001"
    assert User.objects.get(pk=body["id"]).email_key == "ana@example.com"


@pytest.mark.parametrize("spelling", ["ana@example.com", "ANA@Example.COM", "Ana@ｅｘａｍｐｌｅ.com"])
def test_an_address_is_registered_once_in_all_spellings(stranger: APIClient, ana: User, spelling: str) -> None:
    before = all_rows()
    document = refused(register(stranger, spelling, OTHER_PASSWORD), 400, "validation_error")
    assert [(error["field"], error["code"]) for error in document["errors"]] == [("email", "unique")]
    assert all_rows() == before
    assert may_log_in()


@pytest.mark.parametrize("address", ["mıke@example.com", "ana", "ana@", "ana@localhost", "a b@example.com", "x" * 255])
def test_invalid_addresses_are_rejected(stranger: APIClient, db: None, address: str) -> None:
    (error,) = refused(register(stranger, address), 400, "validation_error")["errors"]
    assert error["field"] == "email"
    assert not User.objects.exists()
    assert pending_emails() == []


def test_spaces_around_an_address_are_removed(stranger: APIClient, db: None) -> None:
    assert register(stranger, " ana@example.com ").json()["email"] == "ana@example.com"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("vq7#kd0", "password_too_short"),
        ("password123", "password_too_weak"),
        ("ana@example.com", "password_too_weak"),
        ("Ana García Belmonte", "password_too_weak"),
        ("x" * 129, "max_length"),
    ],
)
def test_a_weak_password_is_rejected(stranger: APIClient, db: None, password: str, code: str) -> None:
    document = refused(register(stranger, password=password, full_name="Ana García Belmonte"), 400, "validation_error")
    assert (document["errors"][0]["field"], document["errors"][0]["code"]) == ("password", code)
    assert password not in str(document)
    assert all_rows()["User"] == []
    assert pending_emails() == []
    assert events() == []


def test_leading_and_trailing_spaces_are_part_of_the_password(stranger: APIClient, db: None) -> None:
    register(stranger, password=f"  {PASSWORD}  ")
    assert may_log_in(password=f"  {PASSWORD}  ")
    assert not may_log_in()


@pytest.mark.parametrize("name", ["Ana\x00", "Ana\nBcc: x", "Ana\x1b[31m", "x" * 151])
def test_a_name_is_one_short_line(stranger: APIClient, db: None, name: str) -> None:
    (error, *_others) = refused(register(stranger, full_name=name), 400, "validation_error")["errors"]
    assert error["field"] == "full_name"
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["José Ñandú", "李小龍", "O'Neil <b>&amp;", "  Ana  "])
def test_a_name_may_contain_any_printable_characters(stranger: APIClient, db: None, name: str) -> None:
    assert register(stranger, full_name=name).json()["full_name"] == name.strip()


@pytest.mark.parametrize("locale", ["fr", "ES", "", "en-US"])
def test_an_unknown_language_is_rejected(stranger: APIClient, db: None, locale: str) -> None:
    (error,) = refused(register(stranger, locale=locale), 400, "validation_error")["errors"]
    assert error["field"] == "locale"
    assert not User.objects.exists()


def test_all_errors_are_reported_at_once(stranger: APIClient, db: None) -> None:
    answer = stranger.post(f"{API}auth/register/", {"locale": "fr", "full_name": 7}, format="json")
    document = refused(answer, 400, "validation_error")
    assert {error["field"] for error in document["errors"]} == {"email", "password", "locale", "full_name"}


def test_a_closed_registration_is_rejected(stranger: APIClient, ana: User, settings: Settings) -> None:
    settings.REGISTRATION_OPEN = False
    before = all_rows()
    new, known = register(stranger, "new@example.com"), register(stranger)
    refused(new, 403, "registration_closed")
    assert full_response(new) == full_response(known)
    assert all_rows() == before


def test_registrations_from_one_client_are_limited(stranger: APIClient, db: None, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_REGISTER = True, rate("2/1h")
    refused(register(stranger, password="short"), 400, "validation_error")
    assert register(stranger, "a@example.com").status_code == 201
    assert register(stranger, "b@example.com").status_code == 201
    before = rows_without_traces()
    answer = register(stranger, "c@example.com")
    refused(answer, 429, "throttled")
    assert 3590 < int(answer["Retry-After"]) <= 3600
    assert rows_without_traces() == before
    elsewhere = stranger.post(
        f"{API}auth/register/", {"email": "c@example.com", "password": PASSWORD}, "json", REMOTE_ADDR="192.0.2.1"
    )
    assert elsewhere.status_code == 201


def test_an_attempt_counts_before_its_password_is_checked(
    stranger: APIClient, db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rejected password counts as an attempt, but not as a registration."""
    settings.RATE_LIMITS, settings.RATE_REGISTER, settings.RATE_PASSWORD = True, rate("1/1h"), rate("3/1h")
    judged: list[str] = []
    monkeypatch.setattr(password_policy, "validate_password", lambda password, _user: judged.append(password))
    assert register(stranger, "a@example.com").status_code == 201
    refused(register(stranger, "b@example.com"), 429, "throttled")
    assert judged == [PASSWORD]
    monkeypatch.undo()
    for _number in range(2):
        settings.RATE_REGISTER = rate("2/1h")
        refused(register(stranger, "b@example.com", password="password"), 400, "validation_error")
    refused(register(stranger, "b@example.com"), 429, "throttled")


def test_a_registration_is_rejected_while_too_many_passwords_wait(
    stranger: APIClient, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise Overloaded(retry_after=timedelta(seconds=2))

    monkeypatch.setattr(hashers, "make", full)
    answer = register(stranger)
    refused(answer, 503, "overloaded")
    assert answer["Retry-After"] == "2"
    assert not User.objects.exists()


def test_with_confirmation_a_known_address_gets_the_same_response_as_a_new_one(
    stranger: APIClient, ana: User, required: None
) -> None:
    new, known = register(stranger, "new@example.com"), register(stranger, "ANA@example.com", OTHER_PASSWORD)
    assert new.status_code == 202
    assert list(new.json()) == ["detail"]
    assert full_response(new) == full_response(known)
    assert pending_emails() == [("welcome", "new@example.com"), ("already_registered", "ANA@example.com")]
    assert events() == ["user:registered"]
    assert may_log_in()
    assert not may_log_in(password=OTHER_PASSWORD)


def test_with_confirmation_a_known_address_gets_the_same_errors_as_a_new_one(
    stranger: APIClient, ana: User, required: None
) -> None:
    before = all_rows()
    new, known = register(stranger, "new@example.com", "password123"), register(stranger, password="password123")
    refused(new, 400, "validation_error")
    assert full_response(new) == full_response(known)
    assert all_rows() == before


def test_with_confirmation_registrations_cannot_fill_the_mailbox_of_another_user(
    stranger: APIClient, ana: User, required: None, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("2/1h")
    answers = [register(stranger) for _number in range(4)]
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.content for answer in answers} == {answers[0].content}
    assert pending_emails() == [("already_registered", "ana@example.com")] * 2


def test_with_confirmation_a_new_user_has_to_confirm_first(stranger: APIClient, required: None) -> None:
    register(stranger)
    refused(log_in(stranger), 403, "email_not_verified")


def test_the_response_is_in_the_language_of_the_request(stranger: APIClient, required: None) -> None:
    body = {"email": "ana@example.com", "password": PASSWORD}
    answer = stranger.post(f"{API}auth/register/", body, "json", headers={"Accept-Language": "es"})
    assert "correo" in answer.json()["detail"]
