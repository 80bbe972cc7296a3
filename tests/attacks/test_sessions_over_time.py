"""Sessions end in time: idle ones soon, all of them at last, and one whose old token comes back, across restarts."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests.attacks.service import GUNICORN, PASSWORD, Person, Service, log_in, started


def web_server(service: Service, **environment: str) -> AbstractContextManager[Service]:
    """Another one on the same data, whose sessions are short."""
    return started(
        GUNICORN,
        service.data_dir,
        service.office,
        **{"DATABASE_URL": service.environment.get("DATABASE_URL", "")} | environment,
    )


@pytest.fixture(scope="module")
def hasty(service: Service) -> Iterator[Service]:
    short = {"SESSION_LIFETIME": "4s", "SESSION_IDLE_LIFETIME": "2s", "REFRESH_GRACE": "1s"}
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


def test_an_old_token_within_the_grace_is_answered_again_and_later_never(hasty: Service, ana: Person) -> None:
    session = log_in(hasty, ana.email)
    first = hasty.must(200, "POST", "auth/token/refresh/", refresh=session.refresh)["refresh"]
    assert hasty.must(200, "POST", "auth/token/refresh/", refresh=session.refresh)["refresh"] == first
    time.sleep(1.1)
    assert hasty.ask("POST", "auth/token/refresh/", refresh=session.refresh).code == "token_not_valid"
    assert hasty.ask("POST", "auth/token/refresh/", refresh=first).code == "token_not_valid"
