"""A user logs in."""

import unicodedata
from datetime import timedelta
from typing import Any

import bcrypt
import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.errors import Overloaded
from accounts.hashing import hashers
from accounts.models import AuditEvent, Session, User
from tests.api.requests import API, events, full_response, is_stored, log_in, may_log_in, me, post, rows_without_traces
from tests.conftest import PASSWORD, refused
from usermanager.environment import rate

WRONG = "not the password of anybody"


@pytest.fixture
def limited(settings: Settings, db: None) -> Settings:
    """Turns the rate limits on: three failures of an account from one client."""
    settings.RATE_LIMITS, settings.RATE_LOGIN = True, rate("3/5m")
    return settings


def from_(ip: str, **body: str) -> Any:
    return APIClient().post(f"{API}auth/login/", body, "json", REMOTE_ADDR=ip)


def test_the_response_holds_two_tokens_and_the_user(stranger: APIClient, ana: User, settings: Settings) -> None:
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


def test_the_new_session_stores_the_device(stranger: APIClient, ana: User) -> None:
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
def test_a_wrong_password_is_rejected(stranger: APIClient, ana: User, wrong: str) -> None:
    before = rows_without_traces()
    answer = log_in(stranger, password=wrong)
    refused(answer, 401, "invalid_credentials")
    assert answer["WWW-Authenticate"] == "Bearer"
    event = AuditEvent.objects.get()
    assert (event.kind, event.user_id, event.actor_id) == ("login:failed", ana.pk, None)
    assert event.data == {"code": "invalid_credentials"}
    assert rows_without_traces() == before


@pytest.mark.parametrize(
    "email",
    ["nobody@example.com", "no address", "ana@example.com.evil.example", "anа@example.com", "mıke@example.com"],
)
def test_an_unknown_address_gets_the_same_response_as_a_wrong_password(
    stranger: APIClient, ana: User, email: str
) -> None:
    assert full_response(log_in(stranger, email, WRONG)) == full_response(log_in(stranger, password=WRONG))
    assert list(AuditEvent.objects.order_by("id").values_list("user_id", flat=True)) == [None, ana.pk]
    assert not Session.objects.exists()


def test_an_invited_user_without_a_password_gets_the_same_response_as_an_unknown_one(
    stranger: APIClient, ana: User
) -> None:
    ana.set_password(None)
    ana.save(update_fields=["password"])
    assert full_response(log_in(stranger, password=ana.password)) == full_response(
        log_in(stranger, "nobody@example.com")
    )


def test_a_suspension_is_revealed_only_with_the_right_password(stranger: APIClient, ana: User) -> None:
    User.objects.update(is_active=False)
    refused(log_in(stranger), 403, "account_suspended")
    assert full_response(log_in(stranger, password=WRONG)) == full_response(
        log_in(stranger, "nobody@example.com", WRONG)
    )
    assert not Session.objects.exists()
    assert events() == ["login:failed"] * 3
    assert AuditEvent.objects.earliest("id").data == {"code": "account_suspended"}


def test_a_login_requires_a_confirmed_address_if_the_setting_says_so(
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
def test_every_unicode_form_of_a_password_is_accepted(ana: User, form: Any) -> None:
    ana.set_password("contraseña ﬁnal ½")
    ana.save(update_fields=["password"])
    assert may_log_in(password=unicodedata.normalize(form, "contraseña ﬁnal ½"))


def test_a_hash_of_another_system_is_replaced(ana: User) -> None:
    User.objects.update(password="bcrypt$" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    assert not may_log_in(password=WRONG)
    assert may_log_in()
    assert User.objects.get().password.startswith("bcrypt_sha256$")
    assert may_log_in()


def test_unknown_fields_are_ignored(stranger: APIClient, ana: User, root: User) -> None:
    extra = {"user": str(root.pk), "role": "admin", "is_active": True, "expires_in": 10**9}
    body = post(stranger, "auth/login/", email="ana@example.com", password=PASSWORD, **extra).json()
    assert (body["user"]["id"], body["user"]["role"], body["expires_in"]) == (str(ana.pk), "user", 900)


def test_an_expired_access_token_is_ignored(stranger: APIClient, ana: User) -> None:
    stranger.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert log_in(stranger).status_code == 200


def test_each_login_opens_a_session(stranger: APIClient, ana: User) -> None:
    first, second = log_in(stranger).json(), log_in(stranger).json()
    assert first["refresh"] != second["refresh"]
    assert Session.objects.active().count() == 2
    assert me(first["access"]).status_code == me(second["access"]).status_code == 200


def test_the_limit_of_failures_also_rejects_the_right_password(
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


def test_the_limit_does_not_reveal_which_accounts_exist(stranger: APIClient, ana: User, limited: Settings) -> None:
    known = [log_in(stranger, password=WRONG).status_code for _number in range(5)]
    unknown = [log_in(stranger, "nobody@example.com", WRONG).status_code for _number in range(5)]
    assert known == unknown == [401, 401, 401, 429, 429]


def test_a_login_resets_the_failures_before_it(stranger: APIClient, ana: User, limited: Settings) -> None:
    for _round in range(3):
        for _number in range(2):
            refused(log_in(stranger, password=WRONG), 401, "invalid_credentials")
        assert log_in(stranger).status_code == 200


def test_guesses_of_one_client_do_not_lock_out_others(ana: User, limited: Settings) -> None:
    for _number in range(4):
        from_("192.0.2.66", email="ana@example.com", password=WRONG)
    assert from_("192.0.2.66", email="ana@example.com", password=PASSWORD).status_code == 429
    assert from_("192.0.2.1", email="ana@example.com", password=PASSWORD).status_code == 200


def test_the_ip_address_comes_from_the_connection_and_not_from_headers(
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


def test_behind_a_trusted_proxy_the_ip_address_is_that_of_the_client(ana: User, limited: Settings) -> None:
    limited.TRUSTED_PROXIES = 1

    def status(forwarded: str) -> int:
        body = {"email": "ana@example.com", "password": WRONG}
        headers = {"X-Forwarded-For": forwarded}
        return int(APIClient().post(f"{API}auth/login/", body, "json", headers=headers).status_code)

    assert [status(f"10.9.8.{number}, 192.0.2.1") for number in range(4)] == [401, 401, 401, 429]
    assert status("192.0.2.1, 192.0.2.2") == 401


def test_attempts_on_many_accounts_from_one_client_are_limited(
    bruno: User, limited: Settings, stranger: APIClient
) -> None:
    limited.RATE_LOGIN_IP = rate("4/1h")
    statuses = [log_in(stranger, f"x{number}@example.com", WRONG).status_code for number in range(5)]
    assert statuses == [401] * 4 + [429]
    refused(log_in(stranger, "bruno@example.com"), 429, "throttled")


def test_guesses_from_everywhere_do_not_lock_out_a_user_on_a_known_network(ana: User, limited: Settings) -> None:
    limited.RATE_LOGIN_ACCOUNT = rate("2/1d")
    assert from_("192.0.2.1", email="ana@example.com", password=PASSWORD).status_code == 200
    statuses = [from_(f"203.0.113.{n}", email="ana@example.com", password=WRONG).status_code for n in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert from_("198.51.100.1", email="ana@example.com", password=PASSWORD).status_code == 429
    assert from_("192.0.2.1", email="ana@example.com", password=PASSWORD).status_code == 200


def test_logins_to_one_account_are_limited_across_all_clients(ana: User, bruno: User, limited: Settings) -> None:
    limited.RATE_LOGIN_SUCCESS = rate("3/5m")
    assert from_("192.0.2.9", email="ana@example.com", password=WRONG).status_code == 401
    statuses = [from_(f"192.0.2.{n}", email="ana@example.com", password=PASSWORD).status_code for n in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert from_("192.0.2.1", email="bruno@example.com", password=PASSWORD).status_code == 200
    assert Session.objects.filter(user=ana).count() == 3


def test_logins_to_an_unconfirmed_account_are_limited_as_well(ana: User, limited: Settings) -> None:
    limited.RATE_LOGIN_SUCCESS, limited.EMAIL_VERIFICATION = rate("2/5m"), "required"
    User.objects.update(email_verified=False)
    statuses = [from_(f"192.0.2.{n}", email="ana@example.com", password=PASSWORD).status_code for n in range(4)]
    assert statuses == [403, 403, 429, 429]


def test_confirming_with_the_right_password_counts_like_a_login(ana: User, limited: Settings, client_of: Any) -> None:
    limited.RATE_LOGIN_SUCCESS = rate("2/5m")
    body = {"current_password": PASSWORD, "new_password": "1"}
    answers = [client_of(ana).post(f"{API}auth/password/change/", body, "json") for _number in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 429]


def test_a_setting_turns_the_limits_off(stranger: APIClient, ana: User, limited: Settings) -> None:
    limited.RATE_LIMITS = False
    assert {log_in(stranger, password=WRONG).status_code for _number in range(6)} == {401}


def test_a_login_is_rejected_with_retry_after_if_too_many_wait(
    stranger: APIClient, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise Overloaded(retry_after=timedelta(seconds=2))

    monkeypatch.setattr(hashers, "verify", full)
    known, unknown = log_in(stranger), log_in(stranger, "nobody@example.com")
    refused(known, 503, "overloaded")
    assert known["Retry-After"] == "2"
    assert full_response(known) == full_response(unknown)
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
