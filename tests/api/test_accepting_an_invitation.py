"""Somebody was invited, follows the link and chooses a password."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import hashers, invitations, tokens, users
from accounts.models import OneTimeToken, User
from accounts.models.identifiers import new_id
from tests.api.conversation import events, facts, is_stored, mailed, may_log_in, owed, post, whole
from tests.conftest import PASSWORD, refused


@pytest.fixture
def ana(db: None) -> User:
    """Invited, and without a password yet."""
    return users.create("ana@example.com", actor=None, full_name="A. García")


@pytest.fixture
def secret(ana: User) -> str:
    return mailed("invitation")


def accept(secret: str, password: str = PASSWORD, **more: Any) -> Any:
    return post(APIClient(), "auth/invitation/accept/", token=secret, password=password, **more)


def test_they_are_in(ana: User, secret: str) -> None:
    assert not may_log_in()
    answer = accept(secret, full_name="Ana García")
    assert (answer.status_code, answer.content) == (204, b"")
    user = User.objects.get()
    assert (user.full_name, user.email_verified, user.is_active) == ("Ana García", True, True)
    assert may_log_in()
    assert "user:invitation_accepted" in events()
    assert owed() == [("password_changed", "ana@example.com")]
    assert not is_stored(secret)
    assert not is_stored(PASSWORD)


@pytest.mark.parametrize("name", [{}, {"full_name": ""}, {"full_name": "  "}])
def test_the_name_they_were_given_stays_unless_they_have_another(secret: str, name: dict[str, str]) -> None:
    assert accept(secret, **name).status_code == 204
    assert User.objects.get().full_name == "A. García"


def test_what_only_an_admin_may_set_is_not_set(secret: str) -> None:
    accept(secret, role="admin", email="x@example.com", is_active=False, metadata={"a": 1}, locale="es")
    user = User.objects.get()
    assert (user.role.name, user.email, user.is_active, user.metadata) == ("user", "ana@example.com", True, {})


def test_works_once(secret: str) -> None:
    accept(secret)
    before = facts()
    refused(accept(secret, "another good password"), 400, "invalid_token")
    assert facts() == before


def test_of_two_at_once_one_wins(ana: User, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hashers.make

    def make_while_another_is_faster(password: str) -> str:
        monkeypatch.setattr(hashers, "make", real)
        assert accept(secret, "another good password").status_code == 204
        return real(password)

    monkeypatch.setattr(hashers, "make", make_while_another_is_faster)
    refused(accept(secret), 400, "invalid_token")
    assert may_log_in(password="another good password")


@pytest.mark.parametrize("poor", ["short", "password123", "ana@example.com", "Ana García Belmonte"])
def test_a_poor_password_does_not_use_the_link_up(secret: str, poor: str) -> None:
    before = facts()
    document = refused(accept(secret, poor, full_name="Ana García Belmonte"), 400, "validation_error")
    assert {fault["field"] for fault in document["errors"]} == {"password"}
    assert facts() == before
    assert accept(secret).status_code == 204


def test_the_name_they_were_given_is_no_password(ana: User, secret: str) -> None:
    User.objects.update(full_name="Ana García Belmonte")
    before = facts()
    refused(accept(secret, "Ana García Belmonte"), 400, "validation_error")
    assert facts() == before


def _expire(ana: User) -> None:
    OneTimeToken.objects.update(expires_at=timezone.now())


def _suspend(ana: User) -> None:
    User.objects.update(is_active=False)


def _delete(ana: User) -> None:
    ana.delete()


def _invite_again(ana: User) -> None:
    invitations.invite(ana, actor=None)
    mailed("invitation")


def _take_back(ana: User) -> None:
    invitations.revoke(ana, actor=None)


def _choose_a_password_otherwise(ana: User) -> None:
    secret = tokens.issue(ana, tokens.Purpose.PASSWORD_RESET, request=new_id(), email=ana.email)
    post(APIClient(), "auth/password/reset/confirm/", token=secret, new_password=PASSWORD)


@pytest.mark.parametrize("end", [_expire, _suspend, _delete, _invite_again, _take_back, _choose_a_password_otherwise])
def test_a_dead_link_looks_like_one_that_never_was(ana: User, secret: str, end: Callable[[User], None]) -> None:
    end(ana)
    before = facts()
    dead = accept(secret)
    refused(dead, 400, "invalid_token")
    assert whole(dead) == whole(accept("x" * 43))
    assert facts() == before


def test_a_link_for_something_else_does_not_do(ana: User) -> None:
    for purpose in set(tokens.Purpose) - {tokens.Purpose.INVITATION}:
        refused(accept(tokens.issue(ana, purpose, request=new_id(), email=ana.email)), 400, "invalid_token")
    assert not may_log_in()
