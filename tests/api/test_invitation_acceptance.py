"""An invited user follows the link and chooses a password."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import invitations, one_time_tokens, users
from accounts.hashing import hashers
from accounts.models import OneTimeToken, User
from accounts.models.identifiers import new_id
from tests.api.requests import (
    events,
    full_response,
    is_stored,
    may_log_in,
    pending_emails,
    post,
    receive_token,
    rows_without_traces,
)
from tests.conftest import PASSWORD, refused


@pytest.fixture
def ana(db: None) -> User:
    """Returns an invited user without a password."""
    return users.create("ana@example.com", actor=None, full_name="A. García")


@pytest.fixture
def secret(ana: User) -> str:
    return receive_token("invitation")


def accept(secret: str, password: str = PASSWORD, **more: Any) -> Any:
    return post(APIClient(), "auth/invitation/accept/", token=secret, password=password, **more)


def test_the_user_can_log_in_afterwards(ana: User, secret: str) -> None:
    assert not may_log_in()
    answer = accept(secret, full_name="Ana García")
    assert (answer.status_code, answer.content) == (204, b"")
    user = User.objects.get()
    assert (user.full_name, user.email_verified, user.is_active) == ("Ana García", True, True)
    assert may_log_in()
    assert "user:invitation_accepted" in events()
    assert pending_emails() == [("password_changed", "ana@example.com")]
    assert not is_stored(secret)
    assert not is_stored(PASSWORD)


@pytest.mark.parametrize("name", [{}, {"full_name": ""}, {"full_name": "  "}])
def test_the_name_stays_unless_the_user_enters_another(secret: str, name: dict[str, str]) -> None:
    assert accept(secret, **name).status_code == 204
    assert User.objects.get().full_name == "A. García"


def test_fields_that_only_an_administrator_may_set_are_ignored(secret: str) -> None:
    accept(secret, role="admin", email="x@example.com", is_active=False, metadata={"a": 1}, locale="es")
    user = User.objects.get()
    assert (user.role.name, user.email, user.is_active, user.metadata) == ("user", "ana@example.com", True, {})


def test_the_link_works_once(secret: str) -> None:
    accept(secret)
    before = rows_without_traces()
    refused(accept(secret, "another good password"), 400, "invalid_token")
    assert rows_without_traces() == before


def test_one_of_two_concurrent_requests_succeeds(ana: User, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hashers.make

    def hash_while_another_request_wins(password: str) -> str:
        monkeypatch.setattr(hashers, "make", real)
        assert accept(secret, "another good password").status_code == 204
        return real(password)

    monkeypatch.setattr(hashers, "make", hash_while_another_request_wins)
    refused(accept(secret), 400, "invalid_token")
    assert may_log_in(password="another good password")


@pytest.mark.parametrize("poor", ["short", "password123", "ana@example.com", "Ana García Belmonte"])
def test_a_rejected_password_does_not_use_up_the_link(secret: str, poor: str) -> None:
    before = rows_without_traces()
    document = refused(accept(secret, poor, full_name="Ana García Belmonte"), 400, "validation_error")
    assert {error["field"] for error in document["errors"]} == {"password"}
    assert rows_without_traces() == before
    assert accept(secret).status_code == 204


def test_the_name_of_the_user_is_not_accepted_as_a_password(ana: User, secret: str) -> None:
    User.objects.update(full_name="Ana García Belmonte")
    before = rows_without_traces()
    refused(accept(secret, "Ana García Belmonte"), 400, "validation_error")
    assert rows_without_traces() == before


def _expire(ana: User) -> None:
    OneTimeToken.objects.update(expires_at=timezone.now())


def _suspend(ana: User) -> None:
    User.objects.update(is_active=False)


def _delete(ana: User) -> None:
    ana.delete()


def _invite_again(ana: User) -> None:
    invitations.invite(ana, actor=None)
    receive_token("invitation")


def _take_back(ana: User) -> None:
    invitations.revoke(ana, actor=None)


def _choose_a_password_otherwise(ana: User) -> None:
    secret = one_time_tokens.issue(ana, one_time_tokens.Purpose.PASSWORD_RESET, request=new_id(), email=ana.email)
    post(APIClient(), "auth/password/reset/confirm/", token=secret, new_password=PASSWORD)


@pytest.mark.parametrize("end", [_expire, _suspend, _delete, _invite_again, _take_back, _choose_a_password_otherwise])
def test_an_ended_link_gets_the_same_response_as_an_unknown_one(
    ana: User, secret: str, end: Callable[[User], None]
) -> None:
    end(ana)
    before = rows_without_traces()
    dead = accept(secret)
    refused(dead, 400, "invalid_token")
    assert full_response(dead) == full_response(accept("x" * 43))
    assert rows_without_traces() == before


def test_a_token_of_another_purpose_is_rejected(ana: User) -> None:
    for purpose in set(one_time_tokens.Purpose) - {one_time_tokens.Purpose.INVITATION}:
        refused(accept(one_time_tokens.issue(ana, purpose, request=new_id(), email=ana.email)), 400, "invalid_token")
    assert not may_log_in()
