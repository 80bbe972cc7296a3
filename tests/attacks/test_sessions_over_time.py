"""Sessions expire, idle ones earlier, and end when an old token is reused, also across restarts."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from tests.attacks.second_factors import SECOND, protect, second
from tests.attacks.service import GUNICORN, OTHER_PASSWORD, PASSWORD, Person, Service, log_in, started


def web_server(service: Service, **environment: str) -> AbstractContextManager[Service]:
    """Starts another server on the same data, with short sessions."""
    return started(
        GUNICORN,
        service.data_dir,
        service.office,
        **{"DATABASE_URL": service.environment.get("DATABASE_URL", "")} | environment,
    )


@pytest.fixture(scope="module")
def hasty(service: Service) -> Iterator[Service]:
    short = {"SESSION_LIFETIME": "4s", "SESSION_IDLE_LIFETIME": "2s", "REFRESH_GRACE": "1s"}
    short |= {"MFA_LOGIN_LIFETIME": "1s"}
    with web_server(service, **short) as hasty:
        yield hasty


def test_use_keeps_a_session_alive_but_not_for_ever(hasty: Service, ana: Person) -> None:
    used, idle = log_in(hasty, ana.email), log_in(hasty, ana.email)
    began, refresh = time.monotonic(), used.refresh
    while time.monotonic() - began < 3:
        time.sleep(0.6)
        refresh = hasty.must(200, "POST", "auth/token/refresh/", refresh=refresh)["refresh"]
    for gone in (idle.access,):
        assert hasty.ask("GET", "users/me/", gone).code == "token_not_valid"
    assert hasty.ask("POST", "auth/token/refresh/", refresh=idle.refresh).code == "token_not_valid"
    time.sleep(max(0.0, 4.1 - (time.monotonic() - began)))
    assert hasty.ask("POST", "auth/token/refresh/", refresh=refresh).code == "token_not_valid"
    assert hasty.ask("GET", "users/me/", used.access).code == "token_not_valid"


def test_an_old_refresh_token_ends_its_session_alone_even_after_a_restart(service: Service, ana: Person) -> None:
    with web_server(service, REFRESH_GRACE="0s", PUBLIC_URL=service.url) as before:
        victim, other = log_in(before, ana.email), log_in(before, ana.email)
        successor = before.must(200, "POST", "auth/token/refresh/", refresh=victim.refresh)
    with web_server(service, REFRESH_GRACE="0s", PUBLIC_URL=service.url) as after:
        assert after.ask("POST", "auth/token/refresh/", refresh=victim.refresh).code == "token_not_valid"
        assert after.ask("POST", "auth/token/refresh/", refresh=successor["refresh"]).code == "token_not_valid"
        assert after.ask("GET", "users/me/", successor["access"]).code == "token_not_valid"
        assert after.ask("GET", "users/me/", other.access).status == 200
        assert after.ask("POST", "auth/token/refresh/", refresh=other.refresh).status == 200
    events = ana.must(200, "GET", "users/me/audit/?kind=session:reuse_detected")["results"]
    assert len(events) == 1
    assert log_in(service, ana.email, PASSWORD).ask("GET", "users/me/").status == 200


def test_an_old_token_gets_the_same_response_within_the_grace_period_and_never_later(
    hasty: Service, ana: Person
) -> None:
    session = log_in(hasty, ana.email)
    first = hasty.must(200, "POST", "auth/token/refresh/", refresh=session.refresh)["refresh"]
    assert hasty.must(200, "POST", "auth/token/refresh/", refresh=session.refresh)["refresh"] == first
    time.sleep(1.1)
    assert hasty.ask("POST", "auth/token/refresh/", refresh=session.refresh).code == "token_not_valid"
    assert hasty.ask("POST", "auth/token/refresh/", refresh=first).code == "token_not_valid"


def test_a_pending_login_expires(service: Service, hasty: Service, ana: Person) -> None:
    protected = protect(ana)
    late, living = protected.mfa_token(hasty), protected.mfa_token(service)
    time.sleep(1.1)
    code = protected.phone.code()
    assert hasty.send(second(late, code=code)).code == "invalid_token"
    assert service.send(second(living, code=code)).status == 200


def test_a_login_is_fresh_for_a_short_time(guarded: Service, ana: Person, forwarded: dict[str, str]) -> None:
    """A stale access token of a session stays stale when its owner steps up."""
    protected = protect(ana)
    ask = partial(guarded.ask, sent=forwarded)
    token = ask("POST", "auth/login/", email=ana.email, password=PASSWORD).json()["mfa_token"]
    stale = ask("POST", SECOND, mfa_token=token, code=protected.phone.code()).json()["access"]
    time.sleep(3.1)
    for path in ("auth/totp/", "auth/recovery-codes/", "auth/password/change/"):
        answer = ask("POST", path, stale, current_password=PASSWORD, new_password=OTHER_PASSWORD)
        assert answer.code == "fresh_login_required", path
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age="3"'
        assert answer.headers["WWW-Authenticate"] == challenge
    fresh = ask("POST", "auth/step-up/", stale, recovery_code=protected.recovery_codes[0]).json()["access"]
    assert ask("POST", "auth/totp/", fresh).status == 201
    assert ask("POST", "auth/totp/", stale).code == "fresh_login_required"
