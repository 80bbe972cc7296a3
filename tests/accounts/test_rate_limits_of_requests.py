"""Rate limits of requests: responses tell what is left, a first rejection is audited, and requests don't deadlock."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import audit, one_time_tokens
from accounts.errors import Throttled
from accounts.hashing import hashers, limiter
from accounts.hashing.limiter import HashingLimiter
from accounts.limits import rate_limits
from accounts.limits.rate_limits import Attempt
from accounts.limits.rates import Rate
from accounts.models import AuditEvent, OneTimeToken, RateBucket, User
from accounts.one_time_tokens import Purpose
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from usermanager.environment import rate

LOGIN = "/api/v1/auth/login/"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _limits(settings: Settings) -> None:
    settings.RATE_LIMITS = True


def log_in(client: APIClient, email: str = "ana@example.com", password: str = "wrong") -> Any:
    return client.post(LOGIN, {"email": email, "password": password}, format="json")


def test_responses_tell_how_many_attempts_are_left(stranger: APIClient, ana: User) -> None:
    answer = log_in(stranger)
    assert answer.status_code == 401
    assert answer["RateLimit-Policy"] == '"login";q=5;w=300, "login-ip";q=60;w=3600'
    assert answer["RateLimit"] == '"login";r=4;t=300, "login-ip";r=59;t=3600'


def test_known_and_unknown_addresses_get_the_same_headers(stranger: APIClient, ana: User) -> None:
    log_in(stranger, password=PASSWORD)  # from here on ana's account limit does not count here
    known, unknown = log_in(stranger), log_in(stranger, "nobody@example.com")
    assert known["RateLimit-Policy"].count("login") == unknown["RateLimit-Policy"].count("login") == 2
    assert '"login";r=4;t=300' in known["RateLimit"]
    assert '"login";r=4;t=300' in unknown["RateLimit"]


def test_a_successful_login_refunds_its_attempts(stranger: APIClient, ana: User) -> None:
    log_in(stranger)
    answer = log_in(stranger, password=PASSWORD)
    assert answer.status_code == 200
    assert set(answer["RateLimit"].split(", ")) == {'"login";r=5;t=300', '"login-ip";r=59;t=3600'}


def test_an_error_names_the_limit_that_is_used_up(stranger: APIClient, ana: User) -> None:
    for _number in range(5):
        log_in(stranger)
    answer = log_in(stranger, password=PASSWORD)
    refused(answer, 429, "throttled")
    assert answer["RateLimit"] == f'"login";r=0;t={answer["Retry-After"]}'
    assert answer["RateLimit-Policy"] == '"login";q=5;w=300'


def test_the_limit_of_an_account_is_hidden_until_it_rejects(stranger: APIClient, ana: User, settings: Settings) -> None:
    settings.RATE_LOGIN_ACCOUNT = rate("1/1d")
    for email in (ana.email, "nobody@example.com"):
        assert "login-account" not in log_in(stranger, email)["RateLimit-Policy"]
        answer = log_in(stranger, email)
        refused(answer, 429, "throttled")
        assert answer["RateLimit"] == f'"login-account";r=0;t={answer["Retry-After"]}'
        assert answer["RateLimit-Policy"] == '"login-account";q=1;w=86400'


def test_a_request_that_no_limit_counts_gets_no_headers(stranger: APIClient, settings: Settings, ana: User) -> None:
    assert "RateLimit" not in stranger.get("/api/v1/users/me/")
    settings.RATE_LIMITS = False
    assert "RateLimit" not in log_in(stranger)
    assert not RateBucket.objects.exists()


def test_own_logins_do_not_lift_the_limit_of_the_client(
    stranger: APIClient, ana: User, bruno: User, settings: Settings
) -> None:
    settings.RATE_LOGIN_IP = rate("6/1h")
    for _number in range(3):
        log_in(stranger, "ana@example.com")
        log_in(stranger, f"{uuid4()}@example.com")
        log_in(stranger, "bruno@example.com", PASSWORD)
    refused(log_in(stranger, "carla@example.com"), 429, "throttled")


def test_only_the_first_rejection_of_a_window_is_audited(stranger: APIClient, ana: User) -> None:
    for _number in range(9):
        log_in(stranger)
    event = AuditEvent.objects.get(kind="limit:reached")
    assert (event.user_id, event.actor_id, event.data) == (ana.pk, None, {"scope": "login"})
    assert event.ip == "127.0.0.1"
    RateBucket.objects.update(resets_at=0)
    for _number in range(7):
        log_in(stranger)
    assert AuditEvent.objects.filter(kind="limit:reached").count() == 2


def test_the_event_of_an_unknown_address_does_not_contain_it(stranger: APIClient, db: None) -> None:
    for _number in range(6):
        log_in(stranger, "nobody@example.com")
    assert AuditEvent.objects.get(kind="limit:reached").user_id is None
    assert not [event for event in AuditEvent.objects.values() if "nobody" in str(event)]


def request_reset(client: APIClient, email: str) -> Any:
    return client.post("/api/v1/auth/password/reset/", {"email": email}, format="json")


def test_the_limit_of_a_mailbox_is_audited_and_hidden_from_the_client(
    stranger: APIClient, settings: Settings, ana: User
) -> None:
    settings.RATE_MAIL = rate("1/1h")
    for email in ("Ana@Example.com", "nobody@example.com"):
        answers = [request_reset(stranger, email) for _number in "123"]
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        assert [answer["RateLimit-Policy"] for answer in answers] == ['"mail-ip";q=30;w=3600'] * 3
    reached = AuditEvent.objects.filter(kind="limit:reached").order_by("id")
    assert [(event.user_id, event.actor_id, event.data["scope"]) for event in reached] == [
        (ana.pk, None, "mail"),
        (None, None, "mail"),
    ]


def test_known_and_unknown_mailboxes_take_as_many_queries(stranger: APIClient, settings: Settings, ana: User) -> None:
    settings.RATE_MAIL = rate("1/1h")
    audit.record("user:unlocked", ana, actor=None)  # the first event of all takes one more query
    asked: dict[str, list[int]] = {ana.email: [], "nobody@example.com": []}
    for email, numbers in asked.items():
        for _number in "123":
            with CaptureQueriesContext(connection) as queries:
                request_reset(stranger, email)
            numbers.append(len(queries))
    known, unknown = asked.values()
    assert known == unknown


def test_a_rejected_password_does_not_count_as_an_invalid_token(
    stranger: APIClient, ana: User, settings: Settings
) -> None:
    settings.RATE_TOKEN = rate("2/1h")
    secret = one_time_tokens.issue(ana, Purpose.PASSWORD_RESET, request=uuid4(), email=ana.email)
    for _number in range(4):
        answer = confirm(stranger, secret, "password")
        refused(answer, 400, "validation_error")
    assert OneTimeToken.objects.get().used_at is None
    assert confirm(stranger, secret, OTHER_PASSWORD).status_code == 204


def test_guesses_of_one_time_tokens_are_limited(stranger: APIClient, settings: Settings, db: None) -> None:
    settings.RATE_TOKEN = rate("2/1h")
    for _number in range(2):
        refused(confirm(stranger, "guess", OTHER_PASSWORD), 400, "invalid_token")
    refused(confirm(stranger, "guess", OTHER_PASSWORD), 429, "throttled")


@pytest.fixture
def overloaded(ana: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    hashing = HashingLimiter(tmp_path, 1, 0)
    monkeypatch.setattr(hashers, "get_limiter", lambda: hashing)
    monkeypatch.setattr(limiter, "REJECTION_DELAY_SECONDS", 0)
    with hashing.slot():
        yield


@pytest.mark.usefixtures("overloaded")
@pytest.mark.parametrize("is_rejected_at_once", [True, False])
def test_an_overloaded_service_counts_no_attempts(
    stranger: APIClient, ana: User, is_rejected_at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if another request took the last slot after the first check."""
    if not is_rejected_at_once:
        monkeypatch.setattr(hashers, "require_free_slot", lambda: None)
    register = {"email": "new@example.com", "password": OTHER_PASSWORD}
    for _number in range(3):
        refused(log_in(stranger, password=PASSWORD), 503, "overloaded")
        refused(stranger.post("/api/v1/auth/register/", register, format="json"), 503, "overloaded")
    assert not RateBucket.objects.filter(hits__gt=0).exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.usefixtures("overloaded", "ana")
def test_an_overload_logs_no_errors(stranger: APIClient, caplog: pytest.LogCaptureFixture) -> None:
    refused(log_in(stranger), 503, "overloaded")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def confirm(client: APIClient, secret: str, password: str) -> Any:
    body = {"token": secret, "new_password": password}
    return client.post("/api/v1/auth/password/reset/confirm/", body, format="json")


@pytest.fixture
def limited(database: str, settings: Settings) -> Iterator[None]:
    settings.RATE_LIMITS = True
    yield
    connections.close_all()


def at_once(times: int, action: Any) -> list[Any]:
    barrier = threading.Barrier(times, timeout=60)

    def run(number: int) -> Any:
        barrier.wait()
        try:
            return action(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


@pytest.mark.usefixtures("limited")
def test_a_limit_is_exact_under_parallel_attempts() -> None:
    one = Attempt("login", "ana", Rate(5, HOUR))
    assert sum(at_once(16, lambda _number: rate_limits.count_silently(one))) == 5
    assert AuditEvent.objects.filter(kind="limit:reached").count() == 1


@pytest.mark.usefixtures("limited")
def test_parallel_attempts_count_against_all_limits_or_none() -> None:
    narrow, wide = Attempt("login", "ana", Rate(5, HOUR)), Attempt("login-ip", "ana", Rate(1000, HOUR))

    def is_taken(number: int) -> bool:
        try:
            rate_limits.consume([narrow, wide] if number % 2 else [wide, narrow])
        except Throttled:
            return False
        return True

    assert sum(at_once(16, is_taken)) == 5
    assert sorted(RateBucket.objects.values_list("key", "hits")) == sorted(
        [(narrow.bucket_key, 5), (wide.bucket_key, 5)]
    )


@pytest.mark.usefixtures("limited")
def test_concurrent_requests_do_not_deadlock() -> None:
    """Attempts share counters in different orders, attempts are refunded, and an account's failures are reset."""
    attempts = [Attempt("login", str(number), Rate(1000, HOUR), account="ana") for number in range(6)]

    def mix(number: int) -> None:
        for turn in range(15):
            mine = attempts[number % 3 :] + attempts[: number % 3]
            rate_limits.consume(mine if turn % 2 else mine[::-1])
            rate_limits.reset_and_refund(mine[-1], mine[:-1])
            rate_limits.refund(mine)
            if number == 0:
                with transaction.atomic():
                    rate_limits.reset_account("ana")

    at_once(8, mix)
    assert RateBucket.objects.filter(hits__gt=0).count() <= len(attempts)
