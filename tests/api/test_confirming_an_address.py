"""Somebody follows the link that proves their address."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import OneTimeToken, User
from accounts.models.identifiers import new_id
from notifications import mails, outbox
from notifications.models import OutboxMail
from tests.api.conversation import events, facts, is_stored, mailed, me, owed, post, whole
from tests.conftest import PASSWORD, refused
from usermanager.environment import rate


@pytest.fixture
def secret(db: None, stranger: APIClient) -> str:
    """That of the link with which ana was welcomed."""
    post(stranger, "auth/register/", email="ana@example.com", password=PASSWORD)
    return mailed("welcome")


def confirm(secret: str) -> Any:
    return post(APIClient(), "auth/email/verify/", token=secret)


def resend(email: str = "ana@example.com") -> Any:
    return post(APIClient(), "auth/email/verify/resend/", email=email)


def test_the_address_is_confirmed(secret: str) -> None:
    assert User.objects.get().email_verified is False
    answer = confirm(secret)
    assert (answer.status_code, answer.content) == (204, b"")
    assert User.objects.get().email_verified is True
    assert events() == ["user:registered", "email:verified"]
    assert not is_stored(secret)


def test_a_mail_program_that_follows_the_link_first_does_no_harm(secret: str) -> None:
    assert [confirm(secret).status_code for _number in range(3)] == [204] * 3
    assert events() == ["user:registered", "email:verified"]


def test_nobody_is_signed_in_by_it(secret: str) -> None:
    refused(me(secret), 401, "token_not_valid")
    assert "access" not in confirm(secret).content.decode()


def _expire(ana: User) -> None:
    OneTimeToken.objects.update(expires_at=timezone.now())


def _suspend(ana: User) -> None:
    User.objects.update(is_active=False)


def _move(ana: User) -> None:
    ana.email, ana.email_verified = "ana@elsewhere.example", False
    ana.save(update_fields=["email", "email_verified"])


def _delete(ana: User) -> None:
    ana.delete()


def _ask_again(ana: User) -> None:
    User.objects.update(email_verified=False)
    resend()
    mailed("verify_email")


@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.parametrize("end", [_expire, _suspend, _move, _delete, _ask_again])
def test_a_dead_link_looks_like_one_that_never_was(secret: str, end: Callable[[User], None], is_used: bool) -> None:
    if is_used:
        confirm(secret)
    end(User.objects.get())
    before = facts()
    dead = confirm(secret)
    refused(dead, 400, "invalid_token")
    assert whole(dead) == whole(confirm("x" * 43))
    assert facts() == before


def test_a_used_link_confirms_nothing_that_was_taken_back(secret: str) -> None:
    confirm(secret)
    User.objects.update(email_verified=False)
    refused(confirm(secret), 400, "invalid_token")
    assert User.objects.get().email_verified is False


def test_a_link_for_something_else_does_not_do(secret: str) -> None:
    ana = User.objects.get()
    for purpose in set(tokens.Purpose) - {tokens.Purpose.VERIFY_EMAIL}:
        refused(confirm(tokens.issue(ana, purpose, request=new_id(), email=ana.email)), 400, "invalid_token")
    assert User.objects.get().email_verified is False


def test_another_link_can_be_had_and_ends_the_first(secret: str) -> None:
    assert resend().status_code == 202
    assert owed() == [("verify_email", "ana@example.com")]
    second = mailed("verify_email")
    refused(confirm(secret), 400, "invalid_token")
    assert confirm(second).status_code == 204


def test_known_and_unknown_addresses_are_answered_alike(ana: User, person: Callable[..., User]) -> None:
    person("dora", email_verified=False)
    answers = [resend(f"{name}@example.com") for name in ("ana", "dora", "nobody")]
    assert answers[0].status_code == 202
    assert whole(answers[0]) == whole(answers[1]) == whole(answers[2])
    assert [kind for kind, _email in owed()] == ["verify_email"] * 3


def test_who_has_confirmed_is_not_bothered_again(ana: User) -> None:
    resend()
    mail = outbox.claim(OutboxMail.objects.get().pk)
    assert mail
    with pytest.raises(mails.NotWanted):
        mails.compose(mail)
    assert not OneTimeToken.objects.exists()


def test_a_mailbox_gets_so_many_and_nobody_is_told(ana: User, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("2/1h")
    assert {resend().status_code for _number in range(4)} == {202}
    assert len(owed()) == 2


def test_a_client_may_ask_so_often(db: None, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL_IP = True, rate("2/1h")
    assert [resend(f"x{number}@example.com").status_code for number in range(3)] == [202, 202, 429]
    assert len(owed()) == 2


def test_guesses_are_limited(secret: str, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    assert [confirm("x" * 43).status_code for _number in range(3)] == [400, 400, 429]
    refused(confirm(secret), 429, "throttled")
    assert User.objects.get().email_verified is False
