"""A user resets a forgotten password with an emailed link."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import one_time_tokens
from accounts.errors import InvalidToken
from accounts.hashing import hashers
from accounts.limits import rate_limits
from accounts.models import OneTimeToken, Session, User
from accounts.models.identifiers import new_id
from notifications.models import OutboxMail
from tests.api.requests import (
    all_rows,
    events,
    full_response,
    is_stored,
    log_in,
    may_log_in,
    me,
    pending_emails,
    post,
    receive_token,
    rows_without_traces,
)
from tests.conftest import OTHER_PASSWORD, refused
from usermanager.environment import rate


@pytest.fixture
def secret(ana: User, stranger: APIClient) -> str:
    """Returns the token of a link that was emailed to ana."""
    ask(stranger)
    return receive_token("password_reset")


def ask(client: APIClient, email: str = "ana@example.com") -> Any:
    return post(client, "auth/password/reset/", email=email)


def reset(secret: str, password: str = OTHER_PASSWORD) -> Any:
    return post(APIClient(), "auth/password/reset/confirm/", token=secret, new_password=password)


def test_known_and_unknown_addresses_get_the_same_response(
    stranger: APIClient, ana: User, person: Callable[..., User]
) -> None:
    person("dora", is_active=False)
    names = ["ana", "dora", "nobody"]
    answers = [ask(stranger, f"{name}@example.com") for name in names]
    assert answers[0].status_code == 202
    assert list(answers[0].json()) == ["detail"]
    assert full_response(answers[0]) == full_response(answers[1]) == full_response(answers[2])
    assert pending_emails() == [("password_reset", f"{name}@example.com") for name in names]
    assert set(OutboxMail.objects.values_list("user", flat=True)) == {None}
    assert not OneTimeToken.objects.exists()
    assert events() == []


def test_unknown_addresses_cost_as_many_statements_as_known_ones(
    stranger: APIClient, ana: User, settings: Settings
) -> None:
    settings.RATE_LIMITS = True
    with CaptureQueriesContext(connection) as known:
        ask(stranger)
    with CaptureQueriesContext(connection) as unknown:
        ask(stranger, "nobody@example.com")
    assert len(known) == len(unknown) > 0


def test_invalid_addresses_are_rejected(stranger: APIClient, db: None) -> None:
    (error,) = refused(ask(stranger, "ana"), 400, "validation_error")["errors"]
    assert error["field"] == "email"
    assert pending_emails() == []


def test_the_limit_of_a_mailbox_is_not_revealed(stranger: APIClient, ana: User, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("2/1h")
    assert {ask(stranger).content for _number in range(4)} == {ask(stranger, "nobody@example.com").content}
    assert pending_emails() == [("password_reset", "ana@example.com")] * 2 + [("password_reset", "nobody@example.com")]


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_other_emails_do_not_use_up_the_reset_links_of_a_user(
    stranger: APIClient, ana: User, settings: Settings, mode: str
) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL, settings.EMAIL_VERIFICATION = True, rate("2/1h"), mode
    for _number in range(3):
        post(stranger, "auth/email/verify/resend/", email=ana.email)  # sends her nothing
    resets = [("password_reset", ana.email)] * 2
    if mode == "required":
        resets.pop()
        for _number in range(3):
            post(stranger, "auth/register/", email=ana.email, password=OTHER_PASSWORD)
    assert {ask(stranger).status_code for _number in range(3)} == {202}
    assert pending_emails()[-len(resets) :] == resets
    assert len(pending_emails()) == (4 if mode == "optional" else 5)


def test_requests_of_a_client_are_limited(stranger: APIClient, ana: User, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL_IP = True, rate("2/1h")
    assert [ask(stranger, f"x{number}@example.com").status_code for number in range(2)] == [202, 202]
    answer = ask(stranger)
    refused(answer, 429, "throttled")
    assert 3590 < int(answer["Retry-After"]) <= 3600
    assert full_response(ask(stranger, "nobody@example.com"))[0] == 429
    assert len(pending_emails()) == 2


def test_the_link_sets_a_new_password_and_ends_every_session(ana: User, secret: str) -> None:
    first, second = (log_in(APIClient()).json() for _number in range(2))
    answer = reset(secret)
    assert (answer.status_code, answer.content) == (204, b"")
    assert may_log_in(password=OTHER_PASSWORD)
    assert not may_log_in()
    for tokens_ in (first, second):
        refused(me(tokens_["access"]), 401, "token_not_valid")
        refused(post(APIClient(), "auth/token/refresh/", refresh=tokens_["refresh"]), 401, "token_not_valid")
    assert pending_emails() == [("password_changed", "ana@example.com")]
    assert events()[2:4] == ["password:reset", "session:all_revoked"]
    assert not is_stored(OTHER_PASSWORD)


def test_the_token_is_not_stored(secret: str) -> None:
    assert not is_stored(secret)
    reset(secret)
    assert not is_stored(secret)


def test_the_link_proves_the_address(ana: User, secret: str) -> None:
    User.objects.update(email_verified=False)
    reset(secret)
    assert User.objects.get().email_verified
    assert "email:verified" in events()


def test_the_link_works_for_a_user_without_a_password(ana: User, secret: str) -> None:
    ana.set_password(None)
    ana.save(update_fields=["password"])
    assert reset(secret).status_code == 204
    assert may_log_in(password=OTHER_PASSWORD)


def test_the_link_works_once(ana: User, secret: str) -> None:
    reset(secret)
    before = rows_without_traces()
    refused(reset(secret, "yet another good password"), 400, "invalid_token")
    assert rows_without_traces() == before


def test_one_of_two_concurrent_requests_succeeds(ana: User, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hashers.make

    def hash_while_another_request_wins(password: str) -> str:
        monkeypatch.setattr(hashers, "make", real)
        assert reset(secret, "another good password").status_code == 204
        return real(password)

    monkeypatch.setattr(hashers, "make", hash_while_another_request_wins)
    refused(reset(secret), 400, "invalid_token")
    assert may_log_in(password="another good password")


@pytest.mark.parametrize(
    ("password", "code"), [("short", "password_too_short"), ("ana@example.com", "password_too_weak")]
)
def test_a_rejected_password_does_not_use_up_the_link(ana: User, secret: str, password: str, code: str) -> None:
    before = all_rows()
    document = refused(reset(secret, password), 400, "validation_error")
    assert (document["errors"][0]["field"], document["errors"][0]["code"]) == ("new_password", code)
    assert all_rows() == before
    assert reset(secret).status_code == 204


def _expire(ana: User) -> None:
    OneTimeToken.objects.update(expires_at=timezone.now())


def _suspend(ana: User) -> None:
    User.objects.update(is_active=False)


def _move(ana: User) -> None:
    ana.email = "ana@elsewhere.example"
    ana.save(update_fields=["email"])


def _delete(ana: User) -> None:
    ana.delete()


def _ask_again(ana: User) -> None:
    ask(APIClient())
    receive_token("password_reset")


@pytest.mark.parametrize("end", [_expire, _suspend, _move, _delete, _ask_again])
def test_an_ended_link_gets_the_same_response_as_an_unknown_one(
    ana: User, secret: str, end: Callable[[User], None]
) -> None:
    end(ana)
    before = rows_without_traces()
    dead = reset(secret)
    refused(dead, 400, "invalid_token")
    assert full_response(dead) == full_response(reset("x" * 43))
    assert rows_without_traces() == before


def test_a_token_of_another_purpose_is_rejected(ana: User) -> None:
    for purpose in set(one_time_tokens.Purpose) - {one_time_tokens.Purpose.PASSWORD_RESET}:
        foreign = one_time_tokens.issue(ana, purpose, request=new_id(), email=ana.email)
        refused(reset(foreign), 400, "invalid_token")
    assert may_log_in()


def test_the_reset_ends_all_other_links(ana: User, secret: str) -> None:
    others = {
        purpose: one_time_tokens.issue(ana, purpose, request=new_id(), email=ana.email)
        for purpose in set(one_time_tokens.Purpose) - {one_time_tokens.Purpose.PASSWORD_RESET}
    }
    reset(secret)
    for purpose, other in others.items():
        with pytest.raises(InvalidToken):
            one_time_tokens.find(other, purpose)


def test_the_reset_clears_the_failed_logins(ana: User, settings: Settings, secret: str) -> None:
    settings.RATE_LIMITS, settings.RATE_LOGIN = True, rate("2/1h")
    for _number in range(3):
        log_in(APIClient(), password="wrong")
    assert log_in(APIClient()).status_code == 429
    assert reset(secret).status_code == 204
    assert may_log_in(password=OTHER_PASSWORD)


def test_guessed_tokens_are_limited(ana: User, settings: Settings, secret: str) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    assert [reset("x" * 43).status_code for _number in range(3)] == [400, 400, 429]
    refused(reset(secret), 429, "throttled")
    rate_limits.reset(rate_limits.Attempt("token", "127.0.0.1", settings.RATE_TOKEN))
    assert reset(secret).status_code == 204


def test_other_users_are_not_affected(ana: User, bruno: User, secret: str) -> None:
    theirs = log_in(APIClient(), "bruno@example.com").json()
    reset(secret)
    assert me(theirs["access"]).status_code == 200
    assert may_log_in("bruno@example.com")
    assert Session.objects.active().filter(user=ana).count() == 0
