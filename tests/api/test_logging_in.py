"""Somebody logs in."""

import unicodedata
from datetime import timedelta
from typing import Any

import bcrypt
import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import hashers
from accounts.errors import Overloaded
from accounts.models import AuditEvent, Session, User
from tests.api.conversation import API, events, facts, is_stored, log_in, may_log_in, me, post, whole
from tests.conftest import PASSWORD, refused
from usermanager.environment import rate

WRONG = "not the password of anybody"


@pytest.fixture
def limited(settings: Settings, db: None) -> Settings:
    """Limits are on: three failures of an account from one client."""
    settings.RATE_LIMITS, settings.RATE_LOGIN = True, rate("3/5m")
    return settings


def from_(ip: str, **body: str) -> Any:
    return APIClient().post(f"{API}auth/login/", body, "json", REMOTE_ADDR=ip)


def test_is_answered_with_two_tokens_and_the_user(stranger: APIClient, ana: User, settings: Settings) -> None:
    settings.ACCESS_TOKEN_LIFETIME = timedelta(minutes=7)
    answer = log_in(stranger)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["access", "refresh", "token_type", "expires_in", "user"]
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 420)
    assert me(body["access"]).json() == body["user"]
    assert (body["user"]["id"], body["user"]["email"]) == (str(ana.pk), "ana@example.com")
    assert body["user"]["last_login_at"]
    assert post(stranger, "auth/token/refresh/", refresh=body["refresh"]).status_code == 200
    assert not is_stored(body["access"])
    assert not is_stored(body["refresh"])


def test_opens_a_session_that_knows_its_device(stranger: APIClient, ana: User) -> None:
    headers = {"User-Agent": "curl/8", "X-Request-ID": "trace"}
    body = {"email": "ana@example.com", "password": PASSWORD}
    stranger.post(f"{API}auth/login/", body, "json", headers=headers, REMOTE_ADDR="192.0.2.7")
    session, event = Session.objects.get(), AuditEvent.objects.get()
    assert (session.user, session.ip, session.user_agent) == (ana, "192.0.2.7", "curl/8")
    assert (event.kind, event.user_id, event.actor_id) == ("session:opened", ana.pk, ana.pk)
    assert (event.ip, event.request_id, event.data) == ("192.0.2.7", "trace", {"session": str(session.pk)})


@pytest.mark.parametrize("spelling", ["ANA@EXAMPLE.COM", " ana@example.com ", "aNa@ｅｘａｍｐｌｅ.com"])
def test_the_address_may_be_spelt_in_any_way(ana: User, spelling: str) -> None:
    assert may_log_in(spelling)


@pytest.mark.parametrize("wrong", [WRONG, PASSWORD.upper(), f"{PASSWORD} ", f" {PASSWORD}", PASSWORD[:-1], "x" * 1024])
def test_a_wrong_password_is_refused(stranger: APIClient, ana: User, wrong: str) -> None:
    before = facts()
    answer = log_in(stranger, password=wrong)
    refused(answer, 401, "invalid_credentials")
    assert answer["WWW-Authenticate"] == "Bearer"
    event = AuditEvent.objects.get()
    assert (event.kind, event.user_id, event.actor_id) == ("login:failed", ana.pk, None)
    assert event.data == {"code": "invalid_credentials"}
    assert facts() == before


@pytest.mark.parametrize(
    "nobody",
    ["nobody@example.com", "no address", "ana@example.com.evil.example", "anа@example.com", "mıke@example.com"],
)
def test_nobody_is_refused_like_somebody(stranger: APIClient, ana: User, nobody: str) -> None:
    assert whole(log_in(stranger, nobody, WRONG)) == whole(log_in(stranger, password=WRONG))
    assert list(AuditEvent.objects.order_by("id").values_list("user_id", flat=True)) == [None, ana.pk]
    assert not Session.objects.exists()


def test_who_was_invited_and_has_no_password_is_refused_like_nobody(stranger: APIClient, ana: User) -> None:
    ana.set_password(None)
    ana.save(update_fields=["password"])
    assert whole(log_in(stranger, password=ana.password)) == whole(log_in(stranger, "nobody@example.com"))


def test_who_is_suspended_learns_it_with_the_right_password_alone(stranger: APIClient, ana: User) -> None:
    User.objects.update(is_active=False)
    refused(log_in(stranger), 403, "account_suspended")
    assert whole(log_in(stranger, password=WRONG)) == whole(log_in(stranger, "nobody@example.com", WRONG))
    assert not Session.objects.exists()
    assert events() == ["login:failed"] * 3
    assert AuditEvent.objects.earliest("id").data == {"code": "account_suspended"}


def test_where_addresses_must_be_confirmed_nobody_gets_in_before(
    stranger: APIClient, ana: User, settings: Settings
) -> None:
    User.objects.update(email_verified=False)
    assert may_log_in()
    settings.EMAIL_VERIFICATION = "required"
    refused(log_in(stranger), 403, "email_not_verified")
    refused(log_in(stranger, password=WRONG), 401, "invalid_credentials")
    assert Session.objects.count() == 1
    User.objects.update(email_verified=True)
    assert may_log_in()


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
def test_a_password_may_be_composed_in_any_way(ana: User, form: Any) -> None:
    ana.set_password("contraseña ﬁnal ½")
    ana.save(update_fields=["password"])
    assert may_log_in(password=unicodedata.normalize(form, "contraseña ﬁnal ½"))


def test_a_hash_of_another_system_is_replaced(ana: User) -> None:
    User.objects.update(password="bcrypt$" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    assert not may_log_in(password=WRONG)
    assert may_log_in()
    assert User.objects.get().password.startswith("bcrypt_sha256$")
    assert may_log_in()


def test_what_a_client_must_not_say_is_not_heard(stranger: APIClient, ana: User, root: User) -> None:
    extra = {"user": str(root.pk), "role": "admin", "is_active": True, "expires_in": 10**9}
    body = post(stranger, "auth/login/", email="ana@example.com", password=PASSWORD, **extra).json()
    assert (body["user"]["id"], body["user"]["role"], body["expires_in"]) == (str(ana.pk), "user", 900)


def test_a_stale_token_does_no_harm(stranger: APIClient, ana: User) -> None:
    stranger.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert log_in(stranger).status_code == 200


def test_two_logins_are_two_sessions(stranger: APIClient, ana: User) -> None:
    first, second = log_in(stranger).json(), log_in(stranger).json()
    assert first["refresh"] != second["refresh"]
    assert Session.objects.alive().count() == 2
    assert me(first["access"]).status_code == me(second["access"]).status_code == 200


def test_after_so_many_failures_even_the_right_password_waits(
    stranger: APIClient, ana: User, limited: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _number in range(3):
        refused(log_in(stranger, password=WRONG), 401, "invalid_credentials")

    def fail(*_arguments: object) -> None:
        raise AssertionError("a password was hashed")

    monkeypatch.setattr(hashers, "verify", fail)
    answer = log_in(stranger, "ANA@example.com")
    refused(answer, 429, "throttled")
    assert 290 < int(answer["Retry-After"]) <= 300
    assert not Session.objects.exists()


def test_nobody_can_tell_by_the_limit_who_exists(stranger: APIClient, ana: User, limited: Settings) -> None:
    known = [log_in(stranger, password=WRONG).status_code for _number in range(5)]
    unknown = [log_in(stranger, "nobody@example.com", WRONG).status_code for _number in range(5)]
    assert known == unknown == [401, 401, 401, 429, 429]


def test_a_login_forgives_the_failures_before_it(stranger: APIClient, ana: User, limited: Settings) -> None:
    for _round in range(3):
        for _number in range(2):
            refused(log_in(stranger, password=WRONG), 401, "invalid_credentials")
        assert log_in(stranger).status_code == 200


def test_others_are_not_locked_out_with_whoever_guesses(ana: User, limited: Settings) -> None:
    for _number in range(4):
        from_("192.0.2.66", email="ana@example.com", password=WRONG)
    assert from_("192.0.2.66", email="ana@example.com", password=PASSWORD).status_code == 429
    assert from_("192.0.2.1", email="ana@example.com", password=PASSWORD).status_code == 200


def test_a_client_is_known_by_its_connection_and_not_by_what_it_says(
    stranger: APIClient, ana: User, limited: Settings
) -> None:
    answers = [
        stranger.post(
            f"{API}auth/login/",
            {"email": "ana@example.com", "password": WRONG},
            "json",
            headers={"X-Forwarded-For": f"192.0.2.{number}", "X-Real-IP": f"192.0.2.{number}"},
        ).status_code
        for number in range(4)
    ]
    assert answers == [401, 401, 401, 429]


def test_a_client_behind_a_trusted_proxy_is_known_by_its_own_address(ana: User, limited: Settings) -> None:
    limited.TRUSTED_PROXIES = 1

    def status(forwarded: str) -> int:
        body = {"email": "ana@example.com", "password": WRONG}
        headers = {"X-Forwarded-For": forwarded}
        return int(APIClient().post(f"{API}auth/login/", body, "json", headers=headers).status_code)

    assert [status(f"10.9.8.{number}, 192.0.2.1") for number in range(4)] == [401, 401, 401, 429]
    assert status("192.0.2.1, 192.0.2.2") == 401


def test_who_tries_many_accounts_is_stopped(bruno: User, limited: Settings, stranger: APIClient) -> None:
    limited.RATE_LOGIN_IP = rate("4/1h")
    statuses = [log_in(stranger, f"x{number}@example.com", WRONG).status_code for number in range(5)]
    assert statuses == [401] * 4 + [429]
    refused(log_in(stranger, "bruno@example.com"), 429, "throttled")


def test_who_is_guessed_at_from_everywhere_still_gets_in_from_where_they_did_before(
    ana: User, limited: Settings
) -> None:
    limited.RATE_LOGIN_ACCOUNT = rate("2/1d")
    assert from_("192.0.2.1", email="ana@example.com", password=PASSWORD).status_code == 200
    statuses = [from_(f"203.0.113.{n}", email="ana@example.com", password=WRONG).status_code for n in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert from_("198.51.100.1", email="ana@example.com", password=PASSWORD).status_code == 429
    assert from_("192.0.2.1", email="ana@example.com", password=PASSWORD).status_code == 200


def test_right_passwords_are_limited_for_each_account_from_anywhere(ana: User, bruno: User, limited: Settings) -> None:
    limited.RATE_LOGIN_SUCCESS = rate("3/5m")
    assert from_("192.0.2.9", email="ana@example.com", password=WRONG).status_code == 401
    statuses = [from_(f"192.0.2.{n}", email="ana@example.com", password=PASSWORD).status_code for n in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert from_("192.0.2.1", email="bruno@example.com", password=PASSWORD).status_code == 200
    assert Session.objects.filter(user=ana).count() == 3


def test_right_passwords_of_an_unconfirmed_account_are_limited_too(ana: User, limited: Settings) -> None:
    limited.RATE_LOGIN_SUCCESS, limited.EMAIL_VERIFICATION = rate("2/5m"), "required"
    User.objects.update(email_verified=False)
    statuses = [from_(f"192.0.2.{n}", email="ana@example.com", password=PASSWORD).status_code for n in range(4)]
    assert statuses == [403, 403, 429, 429]


def test_confirming_with_the_right_password_counts_like_a_login(ana: User, limited: Settings, client_of: Any) -> None:
    limited.RATE_LOGIN_SUCCESS = rate("2/5m")
    body = {"current_password": PASSWORD, "new_password": "1"}
    answers = [client_of(ana).post(f"{API}auth/password/change/", body, "json") for _number in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 429]


def test_limits_can_be_left_to_a_gateway(stranger: APIClient, ana: User, limited: Settings) -> None:
    limited.RATE_LIMITS = False
    assert {log_in(stranger, password=WRONG).status_code for _number in range(6)} == {401}


def test_when_too_many_wait_the_next_one_is_told_to_come_again(
    stranger: APIClient, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise Overloaded(retry_after=timedelta(seconds=2))

    monkeypatch.setattr(hashers, "verify", full)
    known, unknown = log_in(stranger), log_in(stranger, "nobody@example.com")
    refused(known, 503, "overloaded")
    assert known["Retry-After"] == "2"
    assert whole(known) == whole(unknown)
    assert not Session.objects.exists()


def test_a_password_that_is_replaced_while_it_is_hashed_opens_nothing(
    stranger: APIClient, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hashers.verify

    def verify_while_it_is_reset(*arguments: Any) -> tuple[bool, str]:
        result = real(*arguments)
        User.objects.update(password=hashers.make("another password"))
        return result

    monkeypatch.setattr(hashers, "verify", verify_while_it_is_reset)
    refused(log_in(stranger), 401, "invalid_credentials")
    assert not Session.objects.exists()
