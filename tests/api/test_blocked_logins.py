"""Strangers try wrong passwords from everywhere; the owner still has a way in, by a link from the mailbox."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import (
    credentials,
    email_change,
    email_verification,
    invitations,
    known_networks,
    one_time_tokens,
    passwords,
    request_context,
    users,
)
from accounts.errors import InvalidToken, Throttled
from accounts.limits import rate_limits
from accounts.models import RateBucket, Role, User
from accounts.one_time_tokens import Purpose
from accounts.request_context import RequestContext
from notifications.models import OutboxMail
from tests.api.requests import API, receive_token
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from usermanager.environment import rate

ANA, UNKNOWN = "ana@example.com", "nobody@example.com"
HOME = "198.51.100.1"


@pytest.fixture(autouse=True)
def _limited(settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_LOGIN_ACCOUNT = True, rate("3/1d")


def from_(ip: str, path: str = "auth/login/", **body: str) -> Any:
    return APIClient().post(API + path, body, "json", REMOTE_ADDR=ip, headers={"X-Request-ID": "same"})


def flood(email: str, times: int = 5) -> list[Any]:
    return [from_(f"203.0.113.{number}", email=email, password="wrong") for number in range(times)]


def blocked() -> list[tuple[str, UUID | None]]:
    return list(OutboxMail.objects.filter(kind="login_blocked").values_list("email", "user_id"))


def test_the_owner_gets_one_email_and_the_response_says_so(ana: User, bruno: User) -> None:
    answers = flood("Ana@Example.com")
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert "emailed" in refused(answers[-1], 429, "throttled")["detail"]
    assert blocked() == [(ANA, None)]
    assert from_(HOME, email=bruno.email, password=PASSWORD).status_code == 200


@pytest.mark.usefixtures("ana")
def test_an_unknown_address_takes_the_same_queries_and_gets_the_same_response() -> None:
    flood("first@example.com")  # the first audit event of all takes one more query
    seen = []
    for email in (ANA, UNKNOWN):
        flood(email, 3)
        with CaptureQueriesContext(connection) as queries:
            answer = flood(email, 1)[0]
        seen.append((len(queries), answer.status_code, answer.content))
    assert seen[0] == seen[1]
    assert [email for email, _user in blocked()] == ["first@example.com", ANA, UNKNOWN]


def test_an_invalid_address_gets_no_email(db: None) -> None:
    assert flood("no address")[-1].status_code == 429
    assert blocked() == []


def test_the_link_unblocks_only_the_network_that_used_it(ana: User) -> None:
    flood(ANA)
    refused(from_(HOME, email=ANA, password=PASSWORD), 429, "throttled")
    secret = receive_token("login_blocked")
    done = from_(HOME, "auth/password/reset/confirm/", token=secret, new_password=OTHER_PASSWORD)
    assert done.status_code == 204
    assert flood(ANA)[-1].status_code == 429
    assert from_(HOME, email=ANA, password=OTHER_PASSWORD).status_code == 200
    refused(from_("198.51.100.2", email=ANA, password=OTHER_PASSWORD), 429, "throttled")


def test_a_new_administrator_is_not_locked_out(db: None) -> None:
    users.ensure_first_admin("root@example.com", PASSWORD)
    flood("root@example.com")
    page = Client().post("/admin/login/", {"username": "root@example.com", "password": PASSWORD}, REMOTE_ADDR=HOME)
    assert page.status_code == 429
    assert "we have emailed it a link" in page.content.decode()
    secret = receive_token("login_blocked")
    from_(HOME, "auth/password/reset/confirm/", token=secret, new_password=OTHER_PASSWORD)
    flood("root@example.com")
    assert from_(HOME, email="root@example.com", password=OTHER_PASSWORD).status_code == 200


USES_OF_LINKS: dict[Purpose, Callable[[str], object]] = {
    Purpose.PASSWORD_RESET: lambda secret: passwords.reset(secret, OTHER_PASSWORD),
    Purpose.INVITATION: lambda secret: invitations.accept(secret, OTHER_PASSWORD),
    Purpose.VERIFY_EMAIL: email_verification.confirm,
    Purpose.EMAIL_CHANGE: email_change.confirm,
}


@pytest.mark.parametrize("purpose", USES_OF_LINKS)
def test_each_emailed_link_makes_the_network_known_for_thirty_days(
    purpose: Purpose, ana: User, bruno: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known(user: User, ip: str) -> bool:
        token = request_context.current.set(RequestContext(ip, request_id="r"))
        try:
            return known_networks.is_known(user.pk)
        finally:
            request_context.current.reset(token)

    email = "ana@elsewhere.example" if purpose == Purpose.EMAIL_CHANGE else ANA
    secret = one_time_tokens.issue(ana, purpose, request=uuid4(), email=email)
    token = request_context.current.set(RequestContext("2001:db8:1:2::1", request_id="r"))
    with pytest.raises(InvalidToken):
        USES_OF_LINKS[purpose]("a guess")
    assert not known(ana, "2001:db8:1:2::1")
    USES_OF_LINKS[purpose](secret)
    request_context.current.reset(token)
    assert [known(ana, "2001:db8:1:2::9"), known(ana, "2001:db8:1:3::1")] == [True, False]
    assert not known(bruno, "2001:db8:1:2::1")
    now, day = rate_limits._now(), 24 * 60 * 60 * 1000
    monkeypatch.setattr(rate_limits, "_now", lambda: now + 29 * day)
    assert known(ana, "2001:db8:1:2::1")
    monkeypatch.setattr(rate_limits, "_now", lambda: now + 30 * day)
    assert not known(ana, "2001:db8:1:2::1")
    assert ANA not in str(RateBucket.objects.values())


def test_a_used_link_makes_no_other_network_known(ana: User) -> None:
    """It may be confirmed once more while it lives, by a link scanner or from elsewhere."""
    secret = one_time_tokens.issue(ana, Purpose.VERIFY_EMAIL, request=uuid4(), email=ANA)
    assert [from_(ip, "auth/email/verify/", token=secret).status_code for ip in (HOME, "192.0.2.9")] == [204, 204]
    flood(ANA)
    refused(from_("192.0.2.9", email=ANA, password=PASSWORD), 429, "throttled")
    assert from_(HOME, email=ANA, password=PASSWORD).status_code == 200


def test_failed_logins_cannot_flood_the_mailbox(ana: User, settings: Settings) -> None:
    settings.RATE_LOGIN_ACCOUNT, settings.RATE_MAIL = rate("1/1s"), rate("2/1h")
    full = credentials._attempt_from_unknown_network(ANA, ana)
    for _window in range(5):
        RateBucket.objects.filter(key=full.bucket_key).delete()
        flood(ANA, 2)
    assert len(blocked()) == 2


def test_the_notice_does_not_prevent_a_requested_reset(ana: User, settings: Settings) -> None:
    settings.RATE_MAIL = rate("1/1h")
    flood(ANA)
    passwords.request_reset(ANA)
    assert receive_token("password_reset")


def test_concurrent_rejections_enqueue_one_email(database: str, settings: Settings) -> None:
    rounds, clients = 4, 6
    barrier = threading.Barrier(clients, timeout=60)
    settings.RATE_LOGIN_ACCOUNT = rate("1/1d")
    for number in range(rounds):
        email = f"dora{number}@example.com"
        User.objects.create(email=email, role=Role.objects.get(name="user"))
        rate_limits.consume([credentials._attempt_from_unknown_network(email, None)])

        def log_in(client: int, email: str = email) -> None:
            request_context.current.set(RequestContext(f"203.0.113.{client}", request_id="r"))
            barrier.wait()
            try:
                with pytest.raises(Throttled):
                    credentials.check_password(email, "wrong")
            finally:
                connections.close_all()

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(log_in, range(clients)))
        assert [address for address, _user in blocked()].count(email) == 1


def test_concurrent_requests_can_remember_the_same_network(database: str, settings: Settings) -> None:
    dora = User.objects.create(email="dora@example.com", role=Role.objects.get(name="user"))
    barrier = threading.Barrier(6, timeout=60)

    def remember(_client: int) -> bool:
        request_context.current.set(RequestContext(HOME, request_id="r"))
        try:
            for _round in range(10):
                barrier.wait()
                known_networks.remember(dora)
            return known_networks.is_known(dora.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(remember, range(6)))
