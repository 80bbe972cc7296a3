"""The pages behind mailed links, as a browser without JavaScript meets them."""

import re
from operator import itemgetter

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import pages, tokens
from accounts.models import OneTimeToken, User
from accounts.tokens import Purpose
from tests.accounts.pages.mailed import (
    ANA,
    CASES,
    CHANGE,
    ERROR_TITLE,
    INVITATION,
    NEW_ANA,
    RESET,
    VERIFY,
    WITH_PASSWORD,
    Case,
    Mailed,
    each_page,
    heading,
    opened,
    sent,
    state,
)
from tests.conftest import OTHER_PASSWORD, PASSWORD


@each_page
@pytest.mark.parametrize("language", ["en", "es"])
def test_a_link_is_opened_and_its_button_pressed(browser: Client, mailed: Mailed, case: Case, language: str) -> None:
    before, after = case.english if language == "en" else case.spanish
    page = opened(browser, case, mailed(case), language)
    assert heading(page) == before
    assert f'<html lang="{language}">' in page
    status, page = sent(browser, case, page, language)
    assert (status, heading(page)) == (200, after)


def test_a_reset_sets_the_password(browser: Client, mailed: Mailed, ana: User) -> None:
    sent(browser, RESET, opened(browser, RESET, mailed(RESET)))
    ana.refresh_from_db()
    assert ana.check_password(OTHER_PASSWORD)
    assert ana.email_verified


def test_an_address_is_confirmed_and_may_be_again(browser: Client, mailed: Mailed, ana: User) -> None:
    secret = mailed(VERIFY)
    for _time in range(2):
        assert sent(browser, VERIFY, opened(browser, VERIFY, secret))[0] == 200
    ana.refresh_from_db()
    assert ana.email_verified


def test_an_address_is_moved(browser: Client, mailed: Mailed, ana: User) -> None:
    page = opened(browser, CHANGE, mailed(CHANGE))
    assert f'value="{NEW_ANA}"' in page
    assert f"as {NEW_ANA}" in sent(browser, CHANGE, page)[1]
    ana.refresh_from_db()
    assert ana.email == NEW_ANA


def test_an_invitation_sets_password_and_name(browser: Client, mailed: Mailed, ana: User) -> None:
    page = opened(browser, INVITATION, mailed(INVITATION))
    assert '<input type="text" name="full_name" value="Ana"' in page
    sent(browser, INVITATION, page)
    ana.refresh_from_db()
    assert ana.check_password(OTHER_PASSWORD)
    assert ana.full_name == "Ana García"


@each_page
@pytest.mark.parametrize("method", ["get", "head"])
def test_opening_a_page_changes_nothing(mailed: Mailed, ana: User, case: Case, method: str) -> None:
    secret = mailed(case)
    before = state(ana)
    for _scanner in range(3):
        assert getattr(Client(), method)(case.path, {"token": secret}).status_code == 200
    assert state(ana) == before
    assert tokens.find(secret, case.purpose)


@each_page
def test_a_button_pressed_on_another_site_does_nothing(browser: Client, mailed: Mailed, ana: User, case: Case) -> None:
    secret = mailed(case)
    before = state(ana)
    assert browser.post(case.path, {"token": secret} | case.filled).status_code == 403
    assert state(ana) == before


@each_page
@pytest.mark.parametrize("secret", ["", "wrong", "\x00", "x" * 5000], ids=ascii)
def test_a_link_that_never_worked_says_so(client: Client, ana: User, case: Case, secret: str) -> None:
    before = state(ana)
    for answer in (client.get(case.path, {"token": secret}), client.post(case.path, {"token": secret} | case.filled)):
        assert answer.status_code == 400
        assert "This link is no longer valid." in answer.content.decode()
        assert "<form" not in answer.content.decode()
    assert state(ana) == before


@each_page
def test_a_link_of_another_page_does_not_work(client: Client, mailed: Mailed, ana: User, case: Case) -> None:
    secrets = [mailed(other) for other in CASES if other is not case]
    before = state(ana)
    for secret in secrets:
        assert client.get(case.path, {"token": secret}).status_code == 400
        assert client.post(case.path, {"token": secret} | case.filled).status_code == 400
    assert state(ana) == before


@pytest.mark.parametrize("case", [RESET, CHANGE, INVITATION], ids=lambda case: case.path)
def test_a_link_works_once(browser: Client, mailed: Mailed, ana: User, case: Case) -> None:
    page = opened(browser, case, mailed(case))
    sent(browser, case, page)
    before = state(ana)
    status, page = sent(browser, case, page, new_password=PASSWORD, password=PASSWORD)
    assert (status, heading(page)) == (400, "Invalid link")
    assert state(ana) == before


@each_page
def test_who_presses_the_button_too_late_is_told(
    browser: Client, mailed: Mailed, ana: User, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is faster, between the look at the link and its use."""
    page = opened(browser, case, mailed(case))
    look_up = pages._look_up

    def and_be_overtaken(secret: str, purpose: Purpose) -> OneTimeToken:
        token = look_up(secret, purpose)
        tokens.end_all(token.user)
        return token

    monkeypatch.setattr(pages, "_look_up", and_be_overtaken)
    status, page = sent(browser, case, page)
    assert (status, heading(page)) == (400, "Invalid link")
    ana.refresh_from_db()
    assert (ana.email, ana.email_verified, ana.check_password(PASSWORD)) == (ANA, False, True)


@pytest.mark.parametrize("case", WITH_PASSWORD, ids=lambda case: case.path)
@pytest.mark.parametrize(
    "wrong",
    [
        ("", "This field is required."),
        ("short", "Use a password of at least 8 characters."),
        ("ana@example.com", "too easy to guess"),
        ("x" * 129, "Use a password of at most 128 characters."),
    ],
    ids=itemgetter(1),
)
def test_a_refused_password_is_named_at_its_field_and_the_link_lives(
    browser: Client, mailed: Mailed, ana: User, case: Case, wrong: tuple[str, str]
) -> None:
    password, message = wrong
    page = opened(browser, case, mailed(case))
    before = state(ana)
    status, page = sent(browser, case, page, new_password=password, password=password)
    assert status == 400
    assert ERROR_TITLE in page
    name = "new_password" if case is RESET else "password"
    (told,) = re.findall(rf'id="id_{name}_error">(.*?)</ul>', page)
    assert message in told
    (field,) = re.findall(rf'<input type="password" name="{name}".*?>', page)
    assert f'aria-describedby="id_{name}_helptext id_{name}_error"' in field
    assert 'aria-invalid="true"' in field
    assert "autofocus" in field
    assert not password or password not in field
    assert state(ana) == before
    assert sent(browser, case, page)[0] == 200


def test_spaces_belong_to_a_password(browser: Client, mailed: Mailed, ana: User) -> None:
    sent(browser, RESET, opened(browser, RESET, mailed(RESET)), new_password=f"  {OTHER_PASSWORD} ")
    ana.refresh_from_db()
    assert ana.check_password(f"  {OTHER_PASSWORD} ")


def test_a_name_that_hides_something_is_refused(browser: Client, mailed: Mailed, ana: User) -> None:
    page = opened(browser, INVITATION, mailed(INVITATION))
    before = state(ana)
    status, page = sent(browser, INVITATION, page, full_name="Ana\u202egnp.exe")
    assert status == 400
    assert "A name has no control characters." in page
    assert state(ana) == before


def test_password_managers_find_where_to_change_a_password(client: Client, settings: Settings) -> None:
    answer = client.get("/.well-known/change-password")
    assert (answer.status_code, answer["Location"]) == (302, "/forgot-password")
    assert client.get(answer["Location"]).status_code == 200
    settings.FRONTEND_URL = "https://app.example.com"
    assert client.get("/.well-known/change-password")["Location"] == "https://app.example.com/reset-password"
    missing = client.get("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200")
    assert missing.status_code == 404  # by which they tell that the redirect means something
