"""A user confirms their email address with the emailed link."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import one_time_tokens
from accounts.models import OneTimeToken, User
from accounts.models.identifiers import new_id
from notifications import outbox
from notifications.content import composing
from notifications.models import OutboxMail
from notifications.sending import delivery
from tests.api.requests import (
    events,
    full_response,
    is_stored,
    me,
    pending_emails,
    post,
    receive_token,
    rows_without_traces,
)
from tests.conftest import PASSWORD, refused
from usermanager.environment import rate


@pytest.fixture
def secret(db: None, stranger: APIClient) -> str:
    """Returns the token of the link in ana's welcome email."""
    post(stranger, "auth/register/", email="ana@example.com", password=PASSWORD)
    return receive_token("welcome")


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


def test_the_link_still_works_after_an_email_program_followed_it(secret: str) -> None:
    assert [confirm(secret).status_code for _number in range(3)] == [204] * 3
    assert events() == ["user:registered", "email:verified"]


def test_the_link_does_not_sign_in(secret: str) -> None:
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
    receive_token("verify_email")


@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.parametrize("end", [_expire, _suspend, _move, _delete, _ask_again])
def test_an_ended_link_gets_the_same_response_as_an_unknown_one(
    secret: str, end: Callable[[User], None], is_used: bool
) -> None:
    if is_used:
        confirm(secret)
    end(User.objects.get())
    before = rows_without_traces()
    dead = confirm(secret)
    refused(dead, 400, "invalid_token")
    assert full_response(dead) == full_response(confirm("x" * 43))
    assert rows_without_traces() == before


def test_a_used_link_does_not_confirm_the_address_again(secret: str) -> None:
    confirm(secret)
    User.objects.update(email_verified=False)
    refused(confirm(secret), 400, "invalid_token")
    assert User.objects.get().email_verified is False


def test_a_token_of_another_purpose_is_rejected(secret: str) -> None:
    ana = User.objects.get()
    for purpose in set(one_time_tokens.Purpose) - {one_time_tokens.Purpose.VERIFY_EMAIL}:
        refused(confirm(one_time_tokens.issue(ana, purpose, request=new_id(), email=ana.email)), 400, "invalid_token")
    assert User.objects.get().email_verified is False


def test_a_new_link_can_be_requested_and_ends_the_first(secret: str) -> None:
    assert resend().status_code == 202
    assert pending_emails() == [("verify_email", "ana@example.com")]
    second = receive_token("verify_email")
    refused(confirm(secret), 400, "invalid_token")
    assert confirm(second).status_code == 204


def test_known_and_unknown_addresses_get_the_same_response(ana: User, person: Callable[..., User]) -> None:
    person("dora", email_verified=False)
    answers = [resend(f"{name}@example.com") for name in ("ana", "dora", "nobody")]
    assert answers[0].status_code == 202
    assert full_response(answers[0]) == full_response(answers[1]) == full_response(answers[2])
    assert [kind for kind, _email in pending_emails()] == ["verify_email"] * 3


def test_a_confirmed_address_gets_no_further_email(ana: User) -> None:
    resend()
    mail = outbox.claim(OutboxMail.objects.get().pk)
    assert mail
    with pytest.raises(composing.Obsolete):
        delivery.compose_with_token(mail)
    assert not OneTimeToken.objects.exists()


def test_the_limit_of_a_mailbox_is_not_revealed(ana: User, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("2/1h")
    assert {resend().status_code for _number in range(4)} == {202}
    assert len(pending_emails()) == 2


def test_requests_of_a_client_are_limited(db: None, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL_IP = True, rate("2/1h")
    assert [resend(f"x{number}@example.com").status_code for number in range(3)] == [202, 202, 429]
    assert len(pending_emails()) == 2


def test_guessed_tokens_are_limited(secret: str, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    assert [confirm("x" * 43).status_code for _number in range(3)] == [400, 400, 429]
    refused(confirm(secret), 429, "throttled")
    assert User.objects.get().email_verified is False
