"""The ends of the emailed link with which a user sets up a second factor."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import passwords, users
from accounts.models import OneTimeToken, PendingLogin, RecoveryCode, TotpSecret, User
from accounts.one_time_tokens import Purpose
from tests.accounts.pages.link_pages import heading
from tests.accounts.pages.second_factor_page import INVALID, PATH, confirm, fresh, has_no_factor, issue, sign_in
from tests.conftest import OTHER_PASSWORD, PASSWORD


@pytest.fixture
def ana(person: Callable[..., User]) -> User:
    return person("ana", mfa_reset_at=timezone.now())


def test_without_the_link_the_login_is_not_enough(browser: Client, ana: User, secret: str) -> None:
    answer = confirm(browser, sign_in(browser, secret), token="x")
    assert (answer.status_code, heading(answer.content.decode())) == (400, INVALID)
    assert has_no_factor(ana)


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose != Purpose.SECOND_FACTOR])
def test_a_link_to_another_page_is_rejected(browser: Client, ana: User, purpose: Purpose) -> None:
    assert browser.get(PATH, {"token": issue(ana, purpose)}).status_code == 400


def end_by_use(browser: Client, ana: User, secret: str) -> None:
    assert confirm(browser, sign_in(browser, secret)).status_code == 200


def end_by_a_newer_link(browser: Client, ana: User, secret: str) -> None:
    assert issue(ana)


def end_by_a_new_password(browser: Client, ana: User, secret: str) -> None:
    passwords.change(fresh(ana), PASSWORD, OTHER_PASSWORD, keep=None)


def end_by_another_address(browser: Client, ana: User, secret: str) -> None:
    users.update(fresh(ana), actor=None, email="ana@new.example")


def end_by_suspension(browser: Client, ana: User, secret: str) -> None:
    users.suspend(fresh(ana), actor=None)


def end_by_time(browser: Client, ana: User, secret: str) -> None:
    OneTimeToken.objects.update(expires_at=timezone.now())


ENDS = [end_by_use, end_by_a_newer_link, end_by_a_new_password, end_by_another_address, end_by_suspension, end_by_time]


@pytest.mark.parametrize("end", ENDS)
def test_a_link_ends_in_every_step(browser: Client, ana: User, secret: str, end: Callable[..., None]) -> None:
    page = sign_in(browser, secret)
    end(browser, ana, secret)
    factors = TotpSecret.objects.filter(confirmed_at__isnull=False).count()
    codes = RecoveryCode.objects.count()
    answers: list[Any] = [
        browser.get(PATH, {"token": secret}),
        confirm(browser, page),
        confirm(browser, page, mfa_token=""),
    ]
    for answer in answers:
        assert (answer.status_code, heading(answer.content.decode())) == (400, INVALID)
    assert TotpSecret.objects.filter(confirmed_at__isnull=False).count() == factors
    assert RecoveryCode.objects.count() == codes


@pytest.mark.parametrize("has_factor", [True, False])
def test_a_user_who_needs_no_new_factor_gets_none(browser: Client, ana: User, secret: str, has_factor: bool) -> None:
    User.objects.filter(pk=ana.pk).update(mfa_reset_at=None, mfa_enabled=has_factor)
    assert heading(sign_in(browser, secret, status=400)) == INVALID
    assert not PendingLogin.objects.exists()
