"""What a mailed link proves, once: that somebody reads the mails of an address."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts import tokens
from accounts.errors import InvalidToken
from accounts.models import OneTimeToken, User
from accounts.models.identifiers import new_id
from accounts.tokens import Purpose

RESET = Purpose.PASSWORD_RESET


@pytest.fixture
def issued(ana: User) -> Callable[..., str]:
    """A secret mailed to ana for a new request: issued(), issued(Purpose.INVITATION)."""

    def issue(purpose: Purpose = RESET, email: str = "ana@example.com") -> str:
        return tokens.issue(ana, purpose, request=new_id(), email=email)

    return issue


def refuse(secret: str, purpose: Purpose = RESET) -> None:
    with pytest.raises(InvalidToken):
        tokens.find(secret, purpose)


def test_a_secret_is_long_and_kept_nowhere(issued: Callable[..., str]) -> None:
    secret = issued()
    assert len(secret) == 43
    assert secret not in str(OneTimeToken.objects.values())
    assert secret.encode() not in bytes(OneTimeToken.objects.get().digest)
    assert len(bytes(OneTimeToken.objects.get().digest)) == 32


def test_is_found_by_its_secret_and_its_purpose(issued: Callable[..., str], ana: User) -> None:
    secret = issued()
    assert tokens.find(secret, RESET).user == ana
    assert tokens.find(secret, RESET).used_at is None
    for other in set(Purpose) - {RESET}:
        refuse(secret, other)


@pytest.mark.parametrize("wrong", ["", "x", "é", "\ud800", "\0", "x" * 5000])
def test_anything_else_is_refused(issued: Callable[..., str], wrong: str) -> None:
    secret = issued()
    refuse(wrong)
    refuse(f"{secret} ")
    refuse(secret.swapcase())


@pytest.mark.parametrize(
    ("purpose", "setting"),
    [
        (Purpose.PASSWORD_RESET, "PASSWORD_RESET_LIFETIME"),
        (Purpose.VERIFY_EMAIL, "EMAIL_VERIFICATION_LIFETIME"),
        (Purpose.EMAIL_CHANGE, "EMAIL_VERIFICATION_LIFETIME"),
        (Purpose.INVITATION, "INVITATION_LIFETIME"),
    ],
)
def test_lives_as_long_as_the_settings_say(
    issued: Callable[..., str], settings: Settings, purpose: Purpose, setting: str
) -> None:
    setattr(settings, setting, timedelta(minutes=17))
    secret = issued(purpose)
    token = OneTimeToken.objects.get()
    assert abs(token.expires_at - timezone.now() - timedelta(minutes=17)) < timedelta(seconds=5)
    OneTimeToken.objects.update(expires_at=timezone.now())
    refuse(secret, purpose)
    with pytest.raises(InvalidToken):
        tokens.consume(token)


def test_works_once(issued: Callable[..., str]) -> None:
    secret = issued()
    token, same = tokens.find(secret, RESET), tokens.find(secret, RESET)
    tokens.consume(token)
    with pytest.raises(InvalidToken):
        tokens.consume(same)
    refuse(secret)
    assert tokens.find_also_used(secret, RESET).used_at is not None


def test_the_tries_of_one_mail_bring_tokens_that_all_work_until_one_is_used(ana: User) -> None:
    request = new_id()
    first, second, third = (tokens.issue(ana, RESET, request=request, email=ana.email) for _ in range(3))
    tokens.consume(tokens.find(second, RESET))
    refuse(first)
    refuse(third)
    with pytest.raises(tokens.Superseded):
        tokens.issue(ana, RESET, request=request, email=ana.email)


def test_a_newer_request_ends_the_older_ones_of_its_kind_alone(issued: Callable[..., str]) -> None:
    older, invitation = issued(), issued(Purpose.INVITATION)
    newer = issued()
    refuse(older)
    assert tokens.find(newer, RESET)
    assert tokens.find(invitation, Purpose.INVITATION)


def test_a_newer_request_of_somebody_else_ends_nothing(issued: Callable[..., str], bruno: User) -> None:
    secret = issued()
    other = tokens.issue(bruno, RESET, request=new_id(), email=bruno.email)
    tokens.consume(tokens.find(other, RESET))
    assert tokens.find(secret, RESET)


def test_an_older_request_that_is_served_late_brings_nothing(ana: User) -> None:
    older, newer = new_id(), new_id()
    secret = tokens.issue(ana, RESET, request=newer, email=ana.email)
    with pytest.raises(tokens.Superseded):
        tokens.issue(ana, RESET, request=older, email=ana.email)
    assert tokens.find(secret, RESET)


def test_a_request_that_was_ended_is_not_served_again(ana: User) -> None:
    request = new_id()
    tokens.issue(ana, RESET, request=request, email=ana.email)
    tokens.end_all(ana)
    with pytest.raises(tokens.Superseded):
        tokens.issue(ana, RESET, request=request, email=ana.email)
    assert OneTimeToken.objects.count() == 1


def test_using_one_ends_all_of_its_purpose_and_of_its_user(issued: Callable[..., str], bruno: User) -> None:
    invitation = issued(Purpose.INVITATION)
    theirs = tokens.issue(bruno, RESET, request=new_id(), email=bruno.email)
    tokens.consume(tokens.find(issued(), RESET))
    assert tokens.find(invitation, Purpose.INVITATION)
    assert tokens.find(theirs, RESET)


def test_all_can_be_ended_at_once(issued: Callable[..., str], ana: User, bruno: User) -> None:
    mine = [(issued(purpose), purpose) for purpose in Purpose]
    theirs = tokens.issue(bruno, RESET, request=new_id(), email=bruno.email)
    tokens.end_all(ana)
    for secret, purpose in mine:
        refuse(secret, purpose)
    assert tokens.find(theirs, RESET)


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose != Purpose.EMAIL_CHANGE])
def test_is_worthless_once_its_user_has_another_address(
    issued: Callable[..., str], ana: User, purpose: Purpose
) -> None:
    secret = issued(purpose)
    ana.email = "Ana@Example.com"
    ana.save(update_fields=["email"])
    assert tokens.find(secret, purpose)
    ana.email = "ana@elsewhere.example"
    ana.save(update_fields=["email"])
    refuse(secret, purpose)


def test_a_move_is_bound_to_the_new_address_and_outlives_none_of_the_old_one(issued: Callable[..., str]) -> None:
    secret = issued(Purpose.EMAIL_CHANGE, "ana@elsewhere.example")
    assert tokens.find(secret, Purpose.EMAIL_CHANGE).email == "ana@elsewhere.example"


def test_is_worthless_for_a_suspended_user(issued: Callable[..., str]) -> None:
    secret = issued()
    User.objects.update(is_active=False)
    refuse(secret)


def test_goes_with_its_user(issued: Callable[..., str], ana: User) -> None:
    secret = issued()
    ana.delete()
    refuse(secret)


def test_pruning_takes_what_has_expired(issued: Callable[..., str]) -> None:
    issued(Purpose.INVITATION)
    secret = issued()
    OneTimeToken.objects.filter(purpose=Purpose.INVITATION).update(expires_at=timezone.now())
    assert tokens.prune() == 1
    assert tokens.find(secret, RESET)
