"""Somebody moves to another address."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import OneTimeToken, User
from notifications.models import OutboxMail
from tests.api.conversation import events, facts, is_stored, log_in, mailed, may_log_in, me, owed, post, whole
from tests.conftest import PASSWORD, refused
from usermanager.environment import rate

NEW = "ana.garcia@elsewhere.example"


@pytest.fixture
def client(ana: User, client_of: Callable[[User], APIClient]) -> APIClient:
    return client_of(ana)


@pytest.fixture
def secret(client: APIClient) -> str:
    """That of the link which was mailed to the new address."""
    ask(client)
    return mailed("email_change")


def ask(client: APIClient, new_email: str = NEW, password: str = PASSWORD) -> Any:
    return post(client, "auth/email/change/", new_email=new_email, current_password=password)


def confirm(secret: str) -> Any:
    return post(APIClient(), "auth/email/change/confirm/", token=secret)


def test_a_link_goes_to_the_new_address_and_a_notice_to_the_old_one(client: APIClient, ana: User) -> None:
    answer = ask(client)
    assert answer.status_code == 202
    assert list(answer.json()) == ["detail"]
    assert owed() == [("email_change", NEW), ("email_changed", "ana@example.com")]
    assert OutboxMail.objects.get(kind="email_changed").data == {"stage": "requested"}
    assert User.objects.get().email == "ana@example.com"
    assert may_log_in()
    assert events()[1] == "email:change_requested"


def test_the_link_changes_it_now(ana: User, client: APIClient, secret: str) -> None:
    User.objects.update(email_verified=False)
    answer = confirm(secret)
    assert (answer.status_code, answer.content) == (204, b"")
    user = User.objects.get()
    assert (user.email, user.email_key, user.email_verified) == (NEW, NEW, True)
    assert may_log_in(NEW)
    assert not may_log_in()
    assert owed()[-1] == ("email_changed", "ana@example.com")
    assert OutboxMail.objects.latest("pk").data == {"stage": "confirmed"}
    assert "email:changed" in events()
    assert not is_stored(secret)
    assert client.get("/api/v1/users/me/").json()["email"] == NEW


def test_the_password_must_be_right(client: APIClient) -> None:
    before = facts()
    (fault,) = refused(ask(client, password="wrong"), 400, "validation_error")["errors"]
    assert (fault["field"], fault["code"]) == ("current_password", "wrong_password")
    assert facts() == before


@pytest.mark.parametrize("wrong", ["ana@example.com", "no address", "mıke@example.com"])
def test_the_address_must_be_another_one(client: APIClient, wrong: str) -> None:
    before = facts()
    (fault,) = refused(ask(client, wrong), 400, "validation_error")["errors"]
    assert fault["field"] == "new_email"
    assert facts() == before


def test_it_may_be_the_same_in_another_spelling(client: APIClient) -> None:
    ask(client, "Ana@Example.com")
    assert confirm(mailed("email_change")).status_code == 204
    assert User.objects.get().email == "Ana@Example.com"


def test_one_that_is_taken_is_refused(client: APIClient, bruno: User) -> None:
    before = facts()
    (fault,) = refused(ask(client, "BRUNO@example.com"), 400, "validation_error")["errors"]
    assert (fault["field"], fault["code"]) == ("new_email", "unique")
    assert facts() == before


def test_where_nobody_may_learn_who_exists_its_owner_is_told_instead(
    client: APIClient, bruno: User, settings: Settings
) -> None:
    settings.EMAIL_VERIFICATION = "required"
    free, taken = ask(client), ask(client, "bruno@example.com")
    assert free.status_code == 202
    assert whole(free) == whole(taken)
    assert [mail for mail in owed() if mail[0] != "email_changed"] == [
        ("email_change", NEW),
        ("already_registered", "bruno@example.com"),
    ]


def test_one_that_is_taken_meanwhile_stays_its_owner_s(secret: str, person: Callable[..., User], ana: User) -> None:
    owner = person("dora", email=NEW.upper())
    before = facts()
    dead = confirm(secret)
    refused(dead, 400, "invalid_token")
    assert whole(dead) == whole(confirm("x" * 43))
    assert facts() == before
    assert User.objects.get(email_key=NEW) == owner


def test_works_once(secret: str) -> None:
    confirm(secret)
    before = facts()
    refused(confirm(secret), 400, "invalid_token")
    assert facts() == before


def _expire(ana: User, client: APIClient) -> None:
    OneTimeToken.objects.update(expires_at=timezone.now())


def _suspend(ana: User, client: APIClient) -> None:
    User.objects.update(is_active=False)


def _delete(ana: User, client: APIClient) -> None:
    ana.delete()


def _choose_another(ana: User, client: APIClient) -> None:
    ask(client, "third@example.com")
    mailed("email_change")


def _change_the_password(ana: User, client: APIClient) -> None:
    post(client, "auth/password/change/", current_password=PASSWORD, new_password="another good password")


@pytest.mark.parametrize("end", [_expire, _suspend, _delete, _choose_another, _change_the_password])
def test_a_dead_link_looks_like_one_that_never_was(
    ana: User, client: APIClient, secret: str, end: Callable[[User, APIClient], None]
) -> None:
    end(ana, client)
    before = facts()
    dead = confirm(secret)
    refused(dead, 400, "invalid_token")
    assert whole(dead) == whole(confirm("x" * 43))
    assert facts() == before


def test_ends_links_that_were_mailed_to_the_old_address(ana: User, client: APIClient, secret: str) -> None:
    post(APIClient(), "auth/password/reset/", email="ana@example.com")
    stolen = mailed("password_reset")
    confirm(secret)
    answer = post(APIClient(), "auth/password/reset/confirm/", token=stolen, new_password="another good password")
    refused(answer, 400, "invalid_token")
    assert may_log_in(NEW)


def test_ends_older_links_even_if_only_the_spelling_changes(client: APIClient) -> None:
    ask(client, "Ana@Example.com")
    move = mailed("email_change")
    post(APIClient(), "auth/password/reset/", email="ana@example.com")
    older = mailed("password_reset")
    assert confirm(move).status_code == 204
    answer = post(APIClient(), "auth/password/reset/confirm/", token=older, new_password="another good password")
    refused(answer, 400, "invalid_token")


def test_nobody_can_fill_another_s_mailbox(client: APIClient, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("2/1h")
    assert {ask(client).status_code for _number in range(4)} == {202}
    assert owed().count(("email_change", NEW)) == 2


def test_guesses_are_limited(secret: str, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    assert [confirm("x" * 43).status_code for _number in range(3)] == [400, 400, 429]
    refused(confirm(secret), 429, "throttled")
    assert User.objects.get().email == "ana@example.com"


def test_every_session_ends_but_the_one_in_which_it_was_asked_for(ana: User, bruno: User, client: APIClient) -> None:
    older, others = log_in(APIClient()).json(), log_in(APIClient(), bruno.email).json()
    ask(APIClient(headers={"Authorization": f"Bearer {older['access']}"}), "ana@never.example")
    ask(client)
    newer = log_in(APIClient()).json()
    assert confirm(mailed("email_change")).status_code == 204
    for tokens in (older, newer):
        refused(me(tokens["access"]), 401, "token_not_valid")
        refused(post(APIClient(), "auth/token/refresh/", refresh=tokens["refresh"]), 401, "token_not_valid")
    assert client.get("/api/v1/users/me/").status_code == 200
    assert me(others["access"]).status_code == 200
    assert "session:all_revoked" in events()


def test_a_session_that_was_not_asked_ends_when_the_link_is_used(ana: User, secret: str) -> None:
    tokens = log_in(APIClient()).json()
    confirm(secret)
    refused(me(tokens["access"]), 401, "token_not_valid")


def test_the_new_address_holds_for_the_next_token(client: APIClient, secret: str) -> None:
    confirm(secret)
    assert client.get("/api/v1/users/me/").json()["email"] == NEW
