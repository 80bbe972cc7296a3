"""Somebody who is signed in changes their password."""

from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import tokens
from accounts.errors import InvalidToken
from accounts.models import User
from accounts.models.identifiers import new_id
from tests.api.conversation import events, facts, is_stored, log_in, may_log_in, me, owed, post
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from usermanager.environment import rate


@pytest.fixture
def signed_in(ana: User) -> dict[str, Any]:
    """ana's tokens, on the device that she is going to use."""
    body: dict[str, Any] = log_in(APIClient()).json()
    return body


def change(signed_in: dict[str, Any], current: str = PASSWORD, new: str = OTHER_PASSWORD, **more: Any) -> Any:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in['access']}")
    return post(client, "auth/password/change/", current_password=current, new_password=new, **more)


def test_every_session_ends_but_the_one_that_did_it(signed_in: dict[str, Any]) -> None:
    other = log_in(APIClient()).json()
    answer = change(signed_in)
    assert (answer.status_code, answer.content) == (204, b"")
    assert may_log_in(password=OTHER_PASSWORD)
    assert not may_log_in()
    refused(me(other["access"]), 401, "token_not_valid")
    refused(post(APIClient(), "auth/token/refresh/", refresh=other["refresh"]), 401, "token_not_valid")
    assert me(signed_in["access"]).status_code == 200
    assert post(APIClient(), "auth/token/refresh/", refresh=signed_in["refresh"]).status_code == 200
    assert owed() == [("password_changed", "ana@example.com")]
    assert events()[2:4] == ["password:changed", "session:all_revoked"]
    assert not is_stored(OTHER_PASSWORD)


@pytest.mark.parametrize("wrong", [OTHER_PASSWORD, PASSWORD.upper(), f"{PASSWORD} "])
def test_the_current_password_must_be_right(signed_in: dict[str, Any], wrong: str) -> None:
    before = facts()
    (fault,) = refused(change(signed_in, wrong), 400, "validation_error")["errors"]
    assert (fault["field"], fault["code"]) == ("current_password", "wrong_password")
    assert facts() == before
    assert events()[-1] == "password:confirmation_failed"


@pytest.mark.parametrize(
    ("poor", "code"),
    [("short", "password_too_short"), ("ana@example.com", "password_too_weak"), ("x" * 129, "max_length")],
)
def test_the_new_one_must_be_good(signed_in: dict[str, Any], poor: str, code: str) -> None:
    before = facts()
    document = refused(change(signed_in, new=poor), 400, "validation_error")
    assert (document["errors"][0]["field"], document["errors"][0]["code"]) == ("new_password", code)
    assert facts() == before


def test_ends_all_mailed_links(signed_in: dict[str, Any], ana: User) -> None:
    links = [(tokens.issue(ana, purpose, request=new_id(), email=ana.email), purpose) for purpose in tokens.Purpose]
    change(signed_in)
    for secret, purpose in links:
        with pytest.raises(InvalidToken):
            tokens.find(secret, purpose)


def test_spaces_at_its_ends_belong_to_it(signed_in: dict[str, Any]) -> None:
    assert change(signed_in, new=f" {OTHER_PASSWORD} ").status_code == 204
    assert may_log_in(password=f" {OTHER_PASSWORD} ")
    assert not may_log_in(password=OTHER_PASSWORD)


def test_nobody_else_s_password_can_be_named(signed_in: dict[str, Any], bruno: User) -> None:
    assert change(signed_in, user=str(bruno.pk), email="bruno@example.com", id=str(bruno.pk)).status_code == 204
    assert may_log_in("bruno@example.com")


def test_who_found_an_open_laptop_cannot_guess_for_long(signed_in: dict[str, Any], settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_LOGIN = True, rate("2/5m")
    assert [change(signed_in, "wrong").status_code for _number in range(3)] == [400, 400, 429]
    before = facts()
    answer = change(signed_in)
    refused(answer, 429, "throttled")
    assert int(answer["Retry-After"]) > 290
    assert facts() == before


def test_a_session_that_has_ended_changes_nothing(signed_in: dict[str, Any]) -> None:
    post(APIClient(), "auth/logout/", refresh=signed_in["refresh"])
    before = facts()
    refused(change(signed_in), 401, "token_not_valid")
    assert facts() == before
