"""A signed-in user changes their password."""

from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import one_time_tokens
from accounts.errors import InvalidToken
from accounts.models import User
from accounts.models.identifiers import new_id
from tests.api.requests import events, is_stored, log_in, may_log_in, me, pending_emails, post, rows_without_traces
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from usermanager.environment import rate


@pytest.fixture
def signed_in(ana: User) -> dict[str, Any]:
    """Returns the tokens with which ana changes her password."""
    body: dict[str, Any] = log_in(APIClient()).json()
    return body


def change(signed_in: dict[str, Any], current: str = PASSWORD, new: str = OTHER_PASSWORD, **more: Any) -> Any:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in['access']}")
    return post(client, "auth/password/change/", current_password=current, new_password=new, **more)


def test_every_other_session_ends(signed_in: dict[str, Any]) -> None:
    other = log_in(APIClient()).json()
    answer = change(signed_in)
    assert (answer.status_code, answer.content) == (204, b"")
    assert may_log_in(password=OTHER_PASSWORD)
    assert not may_log_in()
    refused(me(other["access"]), 401, "token_not_valid")
    refused(post(APIClient(), "auth/token/refresh/", refresh=other["refresh"]), 401, "token_not_valid")
    assert me(signed_in["access"]).status_code == 200
    assert post(APIClient(), "auth/token/refresh/", refresh=signed_in["refresh"]).status_code == 200
    assert pending_emails() == [("password_changed", "ana@example.com")]
    assert events()[2:4] == ["password:changed", "session:all_revoked"]
    assert not is_stored(OTHER_PASSWORD)


@pytest.mark.parametrize("wrong", [OTHER_PASSWORD, PASSWORD.upper(), f"{PASSWORD} "])
def test_the_current_password_must_be_right(signed_in: dict[str, Any], wrong: str) -> None:
    before = rows_without_traces()
    (error,) = refused(change(signed_in, wrong), 400, "validation_error")["errors"]
    assert (error["field"], error["code"]) == ("current_password", "wrong_password")
    assert rows_without_traces() == before
    assert events()[-1] == "password:confirmation_failed"


@pytest.mark.parametrize(
    ("poor", "code"),
    [("short", "password_too_short"), ("ana@example.com", "password_too_weak"), ("x" * 129, "max_length")],
)
def test_the_new_password_must_meet_the_policy(signed_in: dict[str, Any], poor: str, code: str) -> None:
    before = rows_without_traces()
    document = refused(change(signed_in, new=poor), 400, "validation_error")
    assert (document["errors"][0]["field"], document["errors"][0]["code"]) == ("new_password", code)
    assert rows_without_traces() == before


def test_the_change_ends_all_emailed_links(signed_in: dict[str, Any], ana: User) -> None:
    links = [
        (one_time_tokens.issue(ana, purpose, request=new_id(), email=ana.email), purpose)
        for purpose in one_time_tokens.Purpose
    ]
    change(signed_in)
    for secret, purpose in links:
        with pytest.raises(InvalidToken):
            one_time_tokens.find(secret, purpose)


def test_leading_and_trailing_spaces_are_part_of_the_password(signed_in: dict[str, Any]) -> None:
    assert change(signed_in, new=f" {OTHER_PASSWORD} ").status_code == 204
    assert may_log_in(password=f" {OTHER_PASSWORD} ")
    assert not may_log_in(password=OTHER_PASSWORD)


def test_the_request_cannot_name_another_user(signed_in: dict[str, Any], bruno: User) -> None:
    assert change(signed_in, user=str(bruno.pk), email="bruno@example.com", id=str(bruno.pk)).status_code == 204
    assert may_log_in("bruno@example.com")


def test_guesses_at_the_current_password_are_limited(signed_in: dict[str, Any], settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_LOGIN = True, rate("2/5m")
    assert [change(signed_in, "wrong").status_code for _number in range(3)] == [400, 400, 429]
    before = rows_without_traces()
    answer = change(signed_in)
    refused(answer, 429, "throttled")
    assert int(answer["Retry-After"]) > 290
    assert rows_without_traces() == before


def test_a_session_that_has_ended_changes_nothing(signed_in: dict[str, Any]) -> None:
    post(APIClient(), "auth/logout/", refresh=signed_in["refresh"])
    before = rows_without_traces()
    refused(change(signed_in), 401, "token_not_valid")
    assert rows_without_traces() == before
