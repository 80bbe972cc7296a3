"""A user changes their email address."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail as post_office
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.hashing import hashers
from accounts.limits import rate_limits
from accounts.models import OneTimeToken, User
from notifications.models import OutboxMail
from notifications.sending import delivery
from tests.api.requests import (
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
from tests.conftest import PASSWORD, refused
from usermanager.environment import rate

NEW = "ana.garcia@elsewhere.example"


@pytest.fixture
def client(ana: User, client_of: Callable[[User], APIClient]) -> APIClient:
    return client_of(ana)


@pytest.fixture
def secret(client: APIClient) -> str:
    """Returns the token of the link that was emailed to the new address."""
    ask(client)
    return receive_token("email_change")


def ask(client: APIClient, new_email: str = NEW, password: str = PASSWORD) -> Any:
    return post(client, "auth/email/change/", new_email=new_email, current_password=password)


def confirm(secret: str) -> Any:
    return post(APIClient(), "auth/email/change/confirm/", token=secret)


def test_a_link_goes_to_the_new_address_and_a_notice_to_the_old_one(client: APIClient, ana: User) -> None:
    answer = ask(client)
    assert answer.status_code == 202
    assert list(answer.json()) == ["detail"]
    assert pending_emails() == [("email_change", NEW), ("email_changed", "ana@example.com")]
    assert OutboxMail.objects.get(kind="email_changed").data == {"stage": "requested"}
    assert User.objects.get().email == "ana@example.com"
    assert may_log_in()
    assert events()[1] == "email:change_requested"


def test_the_link_changes_the_address(ana: User, client: APIClient, secret: str) -> None:
    User.objects.update(email_verified=False)
    answer = confirm(secret)
    assert (answer.status_code, answer.content) == (204, b"")
    user = User.objects.get()
    assert (user.email, user.email_key, user.email_verified) == (NEW, NEW, True)
    assert may_log_in(NEW)
    assert not may_log_in()
    assert pending_emails()[-1] == ("email_changed", "ana@example.com")
    assert OutboxMail.objects.latest("pk").data == {"stage": "confirmed"}
    assert "email:changed" in events()
    assert not is_stored(secret)
    assert client.get("/api/v1/users/me/").json()["email"] == NEW


def test_the_password_must_be_right(client: APIClient) -> None:
    before = rows_without_traces()
    (error,) = refused(ask(client, password="wrong"), 400, "validation_error")["errors"]
    assert (error["field"], error["code"]) == ("current_password", "wrong_password")
    assert rows_without_traces() == before


@pytest.mark.parametrize("wrong", ["ana@example.com", "no address", "mıke@example.com"])
def test_the_address_must_be_another_one(client: APIClient, wrong: str) -> None:
    before = rows_without_traces()
    (error,) = refused(ask(client, wrong), 400, "validation_error")["errors"]
    assert error["field"] == "new_email"
    assert rows_without_traces() == before


def test_it_may_be_the_same_in_another_spelling(client: APIClient) -> None:
    ask(client, "Ana@Example.com")
    assert confirm(receive_token("email_change")).status_code == 204
    assert User.objects.get().email == "Ana@Example.com"


@pytest.mark.parametrize("mode", ["optional", "required"])
@pytest.mark.parametrize("is_suspended", [False, True])
def test_neither_response_nor_export_reveals_whether_the_address_is_taken(
    client: APIClient, person: Callable[..., User], settings: Settings, mode: str, is_suspended: bool
) -> None:
    settings.EMAIL_VERIFICATION = mode
    owner = person("owner", is_active=not is_suspended, locale="es")
    answers, exports, work = [], [], []
    for address in ("Other@example.com", "Owner@example.com"):
        with CaptureQueriesContext(connection) as queries:
            answers.append(ask(client, address))
        work.append([re.sub(r"'[^']*'|\d+", "", query["sql"]) for query in queries])
        (mail,) = (one for one in _deliver_all() if one.to != ["ana@example.com"])
        exports.append(_comparable_export(client, address))
    assert answers[0].status_code == 202
    assert full_response(answers[0]) == full_response(answers[1])
    assert exports[0] == exports[1]
    assert work[0] == work[1]
    assert mail.to == [owner.email]
    assert mail.subject.startswith("Ya tienes una cuenta")
    assert "token=" not in mail.body
    before = client.get("/api/v1/users/me/export/").json()
    owner.delete()
    after = client.get("/api/v1/users/me/export/").json()
    for part in ("user", "sessions", "one_time_tokens", "mails"):
        assert after[part] == before[part]


def _deliver_all() -> list[Any]:
    """Sends what is pending, and returns the emails."""
    for mail_id in list(OutboxMail.objects.filter(state="owed").values_list("pk", flat=True)):
        delivery.deliver(mail_id)
    sent = list(post_office.outbox)
    post_office.outbox.clear()
    return sent


def _comparable_export(client: APIClient, address: str) -> Any:
    """Returns the newest records of the export without times, ids and the requested address."""
    export = client.get("/api/v1/users/me/export/").json()
    text = json.dumps([export["one_time_tokens"][0], *export["mails"][:2], export["user"]])
    text = text.replace(address, "").replace(address.lower(), "")
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}-[0-9a-f-]{27}", "", text)


def test_the_limit_of_a_user_applies_before_a_password_is_hashed(
    client: APIClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMITS, settings.RATE_EMAIL_CHANGE = True, rate("3/1h")
    assert ask(client, password="wrong").status_code == 400
    assert [ask(client, f"ana+{number}@elsewhere.example").status_code for number in range(2)] == [202, 202]
    before = rows_without_traces()
    monkeypatch.setattr(hashers, "verify", lambda *_arguments: pytest.fail("it was hashed"))
    answer = ask(client)
    refused(answer, 429, "throttled")
    assert int(answer["Retry-After"]) > 3500
    assert rows_without_traces() == before


def test_the_tags_of_one_mailbox_share_its_limit(
    client: APIClient, person: Callable[..., User], client_of: Callable[[User], APIClient], settings: Settings
) -> None:
    """Twelve requests name ana+0@elsewhere.example, ana+1@elsewhere.example, …"""
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("5/1h")
    for number in range(12):
        settings.RATE_EMAIL_CHANGE = settings.RATE_LOGIN_SUCCESS = settings.RATE_PASSWORD = rate("1000/1h")
        settings.RATE_REGISTER = settings.RATE_MAIL_IP = rate("1000/1h")
        assert ask(client, f"ana+{number}@elsewhere.example").status_code == 202
        post(APIClient(), "auth/register/", email=f"dora+{number}@elsewhere.example", password=PASSWORD)
        post(APIClient(), "auth/password/reset/", email=f"dora+{number}@elsewhere.example")
        post(APIClient(), "auth/email/verify/resend/", email=f"dora+{number}@elsewhere.example")
    to = Counter(email.partition("+")[0] for _kind, email in pending_emails())
    assert to["ana"] == 5
    assert to["dora"] <= 5 + 5 + 2  # welcomes, requested emails, and the first of each kind
    assert rate_limits.count_email(
        "ana@elsewhere.example", "reset"
    )  # the first email to the address without a tag still goes out


def test_an_address_that_another_user_took_meanwhile_stays_theirs(
    secret: str, person: Callable[..., User], ana: User
) -> None:
    owner = person("dora", email=NEW.upper())
    before = rows_without_traces()
    dead = confirm(secret)
    refused(dead, 400, "invalid_token")
    assert full_response(dead) == full_response(confirm("x" * 43))
    assert rows_without_traces() == before
    assert User.objects.get(email_key=NEW) == owner


def test_the_link_works_once(secret: str) -> None:
    confirm(secret)
    before = rows_without_traces()
    refused(confirm(secret), 400, "invalid_token")
    assert rows_without_traces() == before


ENDINGS: dict[str, Callable[[User, APIClient], object]] = {
    "expired": lambda _ana, _client: OneTimeToken.objects.update(expires_at=timezone.now()),
    "user suspended": lambda _ana, _client: User.objects.update(is_active=False),
    "user deleted": lambda ana, _client: ana.delete(),
    "another address requested": lambda _ana, client: (
        ask(client, "third@example.com") and receive_token("email_change")
    ),
    "password changed": lambda _ana, client: post(
        client, "auth/password/change/", current_password=PASSWORD, new_password="another good password"
    ),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_an_ended_link_gets_the_same_response_as_an_unknown_one(
    ana: User, client: APIClient, secret: str, end: Callable[[User, APIClient], object]
) -> None:
    end(ana, client)
    before = rows_without_traces()
    dead = confirm(secret)
    refused(dead, 400, "invalid_token")
    assert full_response(dead) == full_response(confirm("x" * 43))
    assert rows_without_traces() == before


def test_it_ends_links_that_were_emailed_to_the_old_address(ana: User, client: APIClient, secret: str) -> None:
    post(APIClient(), "auth/password/reset/", email="ana@example.com")
    stolen = receive_token("password_reset")
    confirm(secret)
    answer = post(APIClient(), "auth/password/reset/confirm/", token=stolen, new_password="another good password")
    refused(answer, 400, "invalid_token")
    assert may_log_in(NEW)


def test_it_ends_older_links_even_if_only_the_spelling_changes(client: APIClient) -> None:
    ask(client, "Ana@Example.com")
    move = receive_token("email_change")
    post(APIClient(), "auth/password/reset/", email="ana@example.com")
    older = receive_token("password_reset")
    assert confirm(move).status_code == 204
    answer = post(APIClient(), "auth/password/reset/confirm/", token=older, new_password="another good password")
    refused(answer, 400, "invalid_token")


def test_requests_cannot_fill_the_mailbox_of_another_user(client: APIClient, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("2/1h")
    assert {ask(client).status_code for _number in range(4)} == {202}
    assert pending_emails().count(("email_change", NEW)) == 2


def test_guessed_tokens_are_limited(secret: str, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    assert [confirm("x" * 43).status_code for _number in range(3)] == [400, 400, 429]
    refused(confirm(secret), 429, "throttled")
    assert User.objects.get().email == "ana@example.com"


def test_other_emails_to_the_mailbox_do_not_reveal_its_account(
    client: APIClient, person: Callable[..., User], settings: Settings
) -> None:
    """A client requests resets up to the limit of a mailbox, and then changes its address to that mailbox."""
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("3/1h")
    for address in ("free@example.com", person("owner").email):
        for _number in range(4):
            post(APIClient(), "auth/password/reset/", email=address)
            post(APIClient(), "auth/email/verify/resend/", email=address)
        assert {ask(client, address).status_code for _number in "12"} == {202}
    told = Counter(pending_emails())
    assert told["email_change", "free@example.com"] == told["email_change", "owner@example.com"] == 2
    assert told["email_changed", "ana@example.com"] == 4


def test_every_session_ends_except_the_one_that_requested_the_change(ana: User, bruno: User, client: APIClient) -> None:
    older, others = log_in(APIClient()).json(), log_in(APIClient(), bruno.email).json()
    ask(APIClient(headers={"Authorization": f"Bearer {older['access']}"}), "ana@never.example")
    ask(client)
    newer = log_in(APIClient()).json()
    assert confirm(receive_token("email_change")).status_code == 204
    for tokens in (older, newer):
        refused(me(tokens["access"]), 401, "token_not_valid")
        refused(post(APIClient(), "auth/token/refresh/", refresh=tokens["refresh"]), 401, "token_not_valid")
    assert client.get("/api/v1/users/me/").status_code == 200
    assert me(others["access"]).status_code == 200
    assert "session:all_revoked" in events()


def test_other_sessions_end_when_the_link_is_used(ana: User, secret: str) -> None:
    tokens = log_in(APIClient()).json()
    confirm(secret)
    refused(me(tokens["access"]), 401, "token_not_valid")


def test_the_new_address_holds_for_the_next_token(client: APIClient, secret: str) -> None:
    confirm(secret)
    assert client.get("/api/v1/users/me/").json()["email"] == NEW
