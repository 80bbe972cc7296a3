"""A user logs out, on one device or on all."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import AuditEvent, Session, User
from tests.api.requests import API, events, log_in, me, post
from tests.conftest import refused


@pytest.fixture
def phone(ana: User) -> dict[str, Any]:
    body: dict[str, Any] = log_in(APIClient()).json()
    return body


@pytest.fixture
def laptop(ana: User) -> dict[str, Any]:
    body: dict[str, Any] = log_in(APIClient()).json()
    return body


def log_out(path: str = "auth/logout/", *, access: str = "", **body: Any) -> Any:
    client = APIClient()
    if access:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return post(client, path, **body)


def is_in(tokens: dict[str, Any]) -> bool:
    """Returns whether both tokens of a device still work."""
    statuses = {
        me(tokens["access"]).status_code,
        post(APIClient(), "auth/token/verify/", token=tokens["refresh"]).status_code,
    }
    assert statuses in ({200}, {401})
    return statuses == {200}


def test_the_session_of_the_access_token_ends(phone: dict[str, Any], laptop: dict[str, Any], ana: User) -> None:
    answer = log_out(access=phone["access"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert not is_in(phone)
    assert is_in(laptop)
    event = AuditEvent.objects.get(kind="session:closed")
    assert event.user_id == event.actor_id == ana.pk


def test_no_body_is_needed(phone: dict[str, Any]) -> None:
    answer = APIClient().post(f"{API}auth/logout", headers={"Authorization": f"Bearer {phone['access']}"})
    assert answer.status_code == 204
    assert not is_in(phone)


@pytest.mark.parametrize("refresh", [None, "", " "])
def test_an_empty_refresh_token_counts_as_none(phone: dict[str, Any], laptop: dict[str, Any], refresh: Any) -> None:
    assert log_out(access=phone["access"], refresh=refresh).status_code == 204
    assert not is_in(phone)
    assert is_in(laptop)


def test_a_refresh_token_is_enough(phone: dict[str, Any], laptop: dict[str, Any]) -> None:
    assert log_out(refresh=phone["refresh"]).status_code == 204
    assert not is_in(phone)
    assert is_in(laptop)


def test_the_session_of_the_refresh_token_ends_even_with_another_access_token(
    phone: dict[str, Any], laptop: dict[str, Any]
) -> None:
    assert log_out(access=laptop["access"], refresh=phone["refresh"]).status_code == 204
    assert not is_in(phone)
    assert is_in(laptop)


def test_a_logout_requires_a_token(phone: dict[str, Any]) -> None:
    refused(log_out(), 401, "not_authenticated")
    refused(log_out(access="stale"), 401, "token_not_valid")
    refused(log_out(refresh="stale"), 401, "token_not_valid")
    refused(log_out(access=phone["access"], refresh="stale"), 401, "token_not_valid")
    refused(log_out(refresh=None), 401, "not_authenticated")
    refused(log_out(refresh=""), 401, "not_authenticated")
    refused(log_out("auth/logout/all/"), 401, "not_authenticated")
    refused(log_out("auth/logout/all/", access=phone["refresh"]), 401, "token_not_valid")
    assert is_in(phone)
    assert events() == ["session:opened"]


def test_a_session_ends_once(phone: dict[str, Any]) -> None:
    log_out(access=phone["access"])
    refused(log_out(access=phone["access"]), 401, "token_not_valid")
    refused(log_out(refresh=phone["refresh"]), 401, "token_not_valid")
    assert events() == ["session:opened", "session:closed"]


def test_a_token_that_was_just_exchanged_still_logs_out(phone: dict[str, Any], ana: User) -> None:
    post(APIClient(), "auth/token/refresh/", refresh=phone["refresh"])
    assert log_out(refresh=phone["refresh"]).status_code == 204
    assert not Session.objects.active().exists()
    assert events() == ["session:opened", "session:closed"]


def test_a_token_that_was_exchanged_long_ago_ends_its_session_as_reused(
    phone: dict[str, Any], laptop: dict[str, Any], ana: User, settings: Settings
) -> None:
    settings.REFRESH_GRACE = timedelta()
    post(APIClient(), "auth/token/refresh/", refresh=phone["refresh"])
    answer = log_out(refresh=phone["refresh"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert Session.objects.active().count() == 1
    assert is_in(laptop)
    event = AuditEvent.objects.latest("id")
    assert (event.kind, event.user_id, event.actor_id) == ("session:reuse_detected", ana.pk, None)
    assert "session:closed" not in events()


def test_all_sessions_of_the_user_end_and_no_others(phone: dict[str, Any], laptop: dict[str, Any], bruno: User) -> None:
    others = log_in(APIClient(), "bruno@example.com").json()
    answer = log_out("auth/logout/all/", access=phone["access"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert not is_in(phone)
    assert not is_in(laptop)
    assert is_in(others)
    assert events()[-1] == "session:all_revoked"
    assert Session.objects.active().get().user == bruno
