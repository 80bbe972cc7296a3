"""An emailed link proves, once, that its user reads the emails of an address."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from accounts import one_time_tokens
from accounts.errors import InvalidToken
from accounts.models import OneTimeToken, Role, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose

RESET = Purpose.PASSWORD_RESET


@pytest.fixture
def issued(ana: User) -> Callable[..., str]:
    """Issues a token to ana for a new request: issued(), issued(Purpose.INVITATION)."""

    def issue(purpose: Purpose = RESET, email: str = "ana@example.com") -> str:
        return one_time_tokens.issue(ana, purpose, request=new_id(), email=email)

    return issue


def assert_rejected(secret: str, purpose: Purpose = RESET) -> None:
    with pytest.raises(InvalidToken):
        one_time_tokens.find(secret, purpose)


def test_a_secret_is_long_and_kept_nowhere(issued: Callable[..., str]) -> None:
    secret = issued()
    assert len(secret) == 43
    assert secret not in str(OneTimeToken.objects.values())
    assert secret.encode() not in bytes(OneTimeToken.objects.get().digest)
    assert len(bytes(OneTimeToken.objects.get().digest)) == 32


def test_is_found_by_its_secret_and_its_purpose(issued: Callable[..., str], ana: User) -> None:
    secret = issued()
    assert one_time_tokens.find(secret, RESET).user == ana
    assert one_time_tokens.find(secret, RESET).used_at is None
    for other in set(Purpose) - {RESET}:
        assert_rejected(secret, other)


@pytest.mark.parametrize("wrong", ["", "x", "é", "\ud800", "\0", "x" * 5000])
def test_any_other_secret_is_rejected(issued: Callable[..., str], wrong: str) -> None:
    secret = issued()
    assert_rejected(wrong)
    assert_rejected(f"{secret} ")
    assert_rejected(secret.swapcase())


@pytest.mark.parametrize(
    ("purpose", "setting"),
    [
        (Purpose.PASSWORD_RESET, "PASSWORD_RESET_LIFETIME"),
        (Purpose.VERIFY_EMAIL, "EMAIL_VERIFICATION_LIFETIME"),
        (Purpose.EMAIL_CHANGE, "EMAIL_VERIFICATION_LIFETIME"),
        (Purpose.INVITATION, "INVITATION_LIFETIME"),
    ],
)
def test_expires_after_the_configured_time(
    issued: Callable[..., str], settings: Settings, purpose: Purpose, setting: str
) -> None:
    setattr(settings, setting, timedelta(minutes=17))
    secret = issued(purpose)
    token = OneTimeToken.objects.get()
    assert abs(token.expires_at - timezone.now() - timedelta(minutes=17)) < timedelta(seconds=5)
    OneTimeToken.objects.update(expires_at=timezone.now())
    assert_rejected(secret, purpose)
    with pytest.raises(InvalidToken):
        one_time_tokens.consume(token)


def test_works_once(issued: Callable[..., str]) -> None:
    secret = issued()
    token, same = one_time_tokens.find(secret, RESET), one_time_tokens.find(secret, RESET)
    one_time_tokens.consume(token)
    with pytest.raises(InvalidToken):
        one_time_tokens.consume(same)
    assert_rejected(secret)
    assert one_time_tokens.find_including_used(secret, RESET).used_at is not None


def test_the_tokens_of_all_attempts_work_until_one_is_used(ana: User) -> None:
    request = new_id()
    first, second, third = (one_time_tokens.issue(ana, RESET, request=request, email=ana.email) for _ in range(3))
    one_time_tokens.consume(one_time_tokens.find(second, RESET))
    assert_rejected(first)
    assert_rejected(third)
    with pytest.raises(one_time_tokens.Superseded):
        one_time_tokens.issue(ana, RESET, request=request, email=ana.email)


def test_a_newer_request_ends_the_older_ones_of_its_kind_alone(issued: Callable[..., str]) -> None:
    older, invitation = issued(), issued(Purpose.INVITATION)
    newer = issued()
    assert_rejected(older)
    assert one_time_tokens.find(newer, RESET)
    assert one_time_tokens.find(invitation, Purpose.INVITATION)


def test_a_newer_request_of_another_user_ends_nothing(issued: Callable[..., str], bruno: User) -> None:
    secret = issued()
    other = one_time_tokens.issue(bruno, RESET, request=new_id(), email=bruno.email)
    one_time_tokens.consume(one_time_tokens.find(other, RESET))
    assert one_time_tokens.find(secret, RESET)


def test_an_older_request_that_is_served_late_gets_no_token(ana: User) -> None:
    older, newer = new_id(), new_id()
    secret = one_time_tokens.issue(ana, RESET, request=newer, email=ana.email)
    with pytest.raises(one_time_tokens.Superseded):
        one_time_tokens.issue(ana, RESET, request=older, email=ana.email)
    assert one_time_tokens.find(secret, RESET)


def test_a_request_that_was_ended_is_not_served_again(ana: User) -> None:
    request = new_id()
    one_time_tokens.issue(ana, RESET, request=request, email=ana.email)
    one_time_tokens.end_all_and_invitation(ana)
    with pytest.raises(one_time_tokens.Superseded):
        one_time_tokens.issue(ana, RESET, request=request, email=ana.email)
    assert OneTimeToken.objects.count() == 1


def test_using_one_ends_all_of_its_purpose_and_of_its_user(issued: Callable[..., str], bruno: User) -> None:
    invitation = issued(Purpose.INVITATION)
    theirs = one_time_tokens.issue(bruno, RESET, request=new_id(), email=bruno.email)
    one_time_tokens.consume(one_time_tokens.find(issued(), RESET))
    assert one_time_tokens.find(invitation, Purpose.INVITATION)
    assert one_time_tokens.find(theirs, RESET)


def test_all_can_be_ended_at_once(issued: Callable[..., str], ana: User, bruno: User) -> None:
    mine = [(issued(purpose), purpose) for purpose in Purpose]
    theirs = one_time_tokens.issue(bruno, RESET, request=new_id(), email=bruno.email)
    one_time_tokens.end_all_and_invitation(ana)
    for secret, purpose in mine:
        assert_rejected(secret, purpose)
    assert one_time_tokens.find(theirs, RESET)


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose != Purpose.EMAIL_CHANGE])
def test_is_rejected_once_its_user_has_another_address(issued: Callable[..., str], ana: User, purpose: Purpose) -> None:
    secret = issued(purpose)
    ana.email = "Ana@Example.com"
    ana.save(update_fields=["email"])
    assert one_time_tokens.find(secret, purpose)
    ana.email = "ana@elsewhere.example"
    ana.save(update_fields=["email"])
    assert_rejected(secret, purpose)


def test_the_token_of_an_email_change_is_bound_to_the_new_address(issued: Callable[..., str]) -> None:
    secret = issued(Purpose.EMAIL_CHANGE, "ana@elsewhere.example")
    assert one_time_tokens.find(secret, Purpose.EMAIL_CHANGE).email == "ana@elsewhere.example"


def test_is_rejected_for_a_suspended_user(issued: Callable[..., str]) -> None:
    secret = issued()
    User.objects.update(is_active=False)
    assert_rejected(secret)


def test_is_deleted_with_its_user(issued: Callable[..., str], ana: User) -> None:
    secret = issued()
    ana.delete()
    assert_rejected(secret)


def test_pruning_deletes_expired_tokens(issued: Callable[..., str]) -> None:
    issued(Purpose.INVITATION)
    secret = issued()
    OneTimeToken.objects.filter(purpose=Purpose.INVITATION).update(expires_at=timezone.now())
    assert one_time_tokens.prune() == 1
    assert one_time_tokens.find(secret, RESET)


def test_a_token_needs_a_transaction_for_its_lock(database: str) -> None:
    ana = User.objects.create(email="ana@example.com", role=Role.objects.get(name="user"))
    with pytest.raises(transaction.TransactionManagementError):
        one_time_tokens.issue(ana, RESET, request=new_id(), email=ana.email)
    assert not OneTimeToken.objects.exists()
    with transaction.atomic():
        secret = one_time_tokens.issue(ana, RESET, request=new_id(), email=ana.email)
    assert one_time_tokens.find(secret, RESET).user == ana


def test_the_newest_request_decides_on_both_databases(database: str) -> None:
    ana = User.objects.create(email="ana@example.com", role=Role.objects.get(name="user"))
    older, newer = new_id(), new_id()
    with transaction.atomic():
        first, second, again = (
            one_time_tokens.issue(ana, RESET, request=request, email=ana.email) for request in (older, newer, newer)
        )
    assert_rejected(first)
    with transaction.atomic(), pytest.raises(one_time_tokens.Superseded):
        one_time_tokens.issue(ana, RESET, request=older, email=ana.email)
    one_time_tokens.find(second, RESET)
    with transaction.atomic():
        one_time_tokens.consume(one_time_tokens.find(again, RESET))
    with transaction.atomic(), pytest.raises(one_time_tokens.Superseded):
        one_time_tokens.issue(ana, RESET, request=newer, email=ana.email)
