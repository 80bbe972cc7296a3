"""A client stays signed in by exchanging its refresh token, and checks tokens."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import sessions
from accounts.models import Role, Session, User
from tests.api.requests import events, log_in, me, post
from tests.conftest import refused


@pytest.fixture
def tokens(ana: User, stranger: APIClient) -> dict[str, Any]:
    """Returns the tokens of ana's login."""
    body: dict[str, Any] = log_in(stranger).json()
    return body


def refresh(token: Any) -> Any:
    return post(APIClient(), "auth/token/refresh/", refresh=token)


def check(token: Any) -> int:
    answer = post(APIClient(), "auth/token/verify/", token=token)
    if answer.status_code == 200:
        assert answer.json() == {}
    else:
        refused(answer, 401, "token_not_valid")
    return int(answer.status_code)


def let_the_grace_period_pass() -> None:
    Session.objects.update(rotations=[])


def refuse(token: Any) -> None:
    answer = refresh(token)
    refused(answer, 401, "token_not_valid")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_the_response_holds_two_new_tokens_of_the_same_session(tokens: dict[str, Any]) -> None:
    answer = refresh(tokens["refresh"])
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["access", "refresh", "token_type", "expires_in"]
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert body["refresh"] != tokens["refresh"]
    assert me(body["access"]).status_code == me(tokens["access"]).status_code == 200
    assert refresh(body["refresh"]).status_code == 200
    assert Session.objects.count() == 1


def test_a_lost_response_can_be_requested_again(tokens: dict[str, Any]) -> None:
    assert refresh(tokens["refresh"]).json()["refresh"] == refresh(tokens["refresh"]).json()["refresh"]


def test_a_copied_token_ends_the_session_and_no_other(tokens: dict[str, Any], stranger: APIClient) -> None:
    other = log_in(stranger).json()
    successor = refresh(tokens["refresh"]).json()
    let_the_grace_period_pass()
    refuse(tokens["refresh"])
    refuse(successor["refresh"])
    refused(me(successor["access"]), 401, "token_not_valid")
    refused(me(tokens["access"]), 401, "token_not_valid")
    assert me(other["access"]).status_code == 200
    assert refresh(other["refresh"]).status_code == 200
    assert events()[-1] == "session:reuse_detected"


def test_a_session_ends_in_time_however_often_it_is_refreshed(tokens: dict[str, Any]) -> None:
    end = timezone.now() + timedelta(minutes=1)
    Session.objects.update(expires_at=end)
    latest = refresh(tokens["refresh"]).json()
    assert Session.objects.get().expires_at == end
    Session.objects.update(expires_at=timezone.now())
    refuse(latest["refresh"])
    refused(me(latest["access"]), 401, "token_not_valid")


def test_an_idle_session_expires(tokens: dict[str, Any]) -> None:
    Session.objects.update(idle_expires_at=timezone.now())
    refuse(tokens["refresh"])


def test_a_new_role_takes_effect_at_once(tokens: dict[str, Any], role: Any) -> None:
    support: Role = role("support", "users.view")
    User.objects.update(role=support)
    access = refresh(tokens["refresh"]).json()["access"]
    assert me(access).json()["role"] == "support"
    assert me(tokens["access"]).json()["role"] == "support"


@pytest.mark.parametrize("change", [{"is_active": False}, None])
def test_suspension_and_deletion_end_the_session(tokens: dict[str, Any], change: dict[str, Any] | None) -> None:
    if change:
        User.objects.update(**change)
    else:
        User.objects.get().delete()
    refuse(tokens["refresh"])
    assert check(tokens["refresh"]) == check(tokens["access"]) == 401


@pytest.mark.parametrize("odd", ["x", "a.b.c", "é", "A" * 71, "A" * 1024])
def test_other_values_are_rejected(tokens: dict[str, Any], odd: str) -> None:
    before = Session.objects.values().get()
    refuse(odd)
    refuse(tokens["access"])
    assert check(odd) == 401
    assert Session.objects.values().get() == before


def test_checking_a_token_does_not_use_it_up(tokens: dict[str, Any]) -> None:
    before = Session.objects.values().get()
    assert check(tokens["access"]) == check(tokens["refresh"]) == 200
    assert Session.objects.values().get() == before


def test_a_used_token_is_valid_until_the_grace_period_ends(tokens: dict[str, Any]) -> None:
    successor = refresh(tokens["refresh"]).json()["refresh"]
    assert check(tokens["refresh"]) == check(successor) == 200
    let_the_grace_period_pass()
    assert (check(tokens["refresh"]), check(successor)) == (401, 200)


def test_no_token_outlives_its_session(tokens: dict[str, Any]) -> None:
    sessions.close(Session.objects.get(), actor=None)
    assert check(tokens["access"]) == check(tokens["refresh"]) == 401
    refuse(tokens["refresh"])
