"""The pages behind emailed links, in a browser without JavaScript."""

import re
from operator import itemgetter

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import one_time_tokens
from accounts.models import OneTimeToken, User
from accounts.one_time_tokens import Purpose
from accounts.pages import links
from tests.accounts.pages.link_pages import (
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
    TokenFor,
    each_page,
    heading,
    open_page,
    stored_state,
    submit,
)
from tests.conftest import OTHER_PASSWORD, PASSWORD


@each_page
@pytest.mark.parametrize("language", ["en", "es"])
def test_a_user_opens_a_link_and_submits_the_form(
    browser: Client, token_for: TokenFor, case: Case, language: str
) -> None:
    before, after = case.english if language == "en" else case.spanish
    page = open_page(browser, case, token_for(case), language)
    assert heading(page) == before
    assert f'<html lang="{language}">' in page
    status, page = submit(browser, case, page, language)
    assert (status, heading(page)) == (200, after)


def test_a_reset_sets_the_password(browser: Client, token_for: TokenFor, ana: User) -> None:
    submit(browser, RESET, open_page(browser, RESET, token_for(RESET)))
    ana.refresh_from_db()
    assert ana.check_password(OTHER_PASSWORD)
    assert ana.email_verified


def test_an_address_can_be_confirmed_twice(browser: Client, token_for: TokenFor, ana: User) -> None:
    secret = token_for(VERIFY)
    for _time in range(2):
        assert submit(browser, VERIFY, open_page(browser, VERIFY, secret))[0] == 200
    ana.refresh_from_db()
    assert ana.email_verified


def test_an_address_is_changed(browser: Client, token_for: TokenFor, ana: User) -> None:
    page = open_page(browser, CHANGE, token_for(CHANGE))
    assert f'value="{NEW_ANA}"' in page
    assert f"as {NEW_ANA}" in submit(browser, CHANGE, page)[1]
    ana.refresh_from_db()
    assert ana.email == NEW_ANA


def test_an_invitation_sets_password_and_name(browser: Client, token_for: TokenFor, ana: User) -> None:
    page = open_page(browser, INVITATION, token_for(INVITATION))
    assert '<input type="text" name="full_name" value="Ana"' in page
    submit(browser, INVITATION, page)
    ana.refresh_from_db()
    assert ana.check_password(OTHER_PASSWORD)
    assert ana.full_name == "Ana García"


@each_page
@pytest.mark.parametrize("method", ["get", "head"])
def test_opening_a_page_changes_nothing(token_for: TokenFor, ana: User, case: Case, method: str) -> None:
    secret = token_for(case)
    before = stored_state(ana)
    for _scanner in range(3):
        assert getattr(Client(), method)(case.path, {"token": secret}).status_code == 200
    assert stored_state(ana) == before
    assert one_time_tokens.find(secret, case.purpose)


@each_page
def test_a_form_on_another_site_changes_nothing(browser: Client, token_for: TokenFor, ana: User, case: Case) -> None:
    secret = token_for(case)
    before = stored_state(ana)
    assert browser.post(case.path, {"token": secret} | case.filled).status_code == 403
    assert stored_state(ana) == before


@each_page
@pytest.mark.parametrize("secret", ["", "wrong", "\x00", "x" * 5000], ids=ascii)
def test_an_invalid_link_shows_an_error(client: Client, ana: User, case: Case, secret: str) -> None:
    before = stored_state(ana)
    for answer in (client.get(case.path, {"token": secret}), client.post(case.path, {"token": secret} | case.filled)):
        assert answer.status_code == 400
        assert "This link is no longer valid." in answer.content.decode()
        assert "<form" not in answer.content.decode()
    assert stored_state(ana) == before


@each_page
def test_a_link_to_another_page_is_rejected(client: Client, token_for: TokenFor, ana: User, case: Case) -> None:
    secrets = [token_for(other) for other in CASES if other is not case]
    before = stored_state(ana)
    for secret in secrets:
        assert client.get(case.path, {"token": secret}).status_code == 400
        assert client.post(case.path, {"token": secret} | case.filled).status_code == 400
    assert stored_state(ana) == before


@pytest.mark.parametrize("case", [RESET, CHANGE, INVITATION], ids=lambda case: case.path)
def test_a_link_works_once(browser: Client, token_for: TokenFor, ana: User, case: Case) -> None:
    page = open_page(browser, case, token_for(case))
    submit(browser, case, page)
    before = stored_state(ana)
    status, page = submit(browser, case, page, new_password=PASSWORD, password=PASSWORD)
    assert (status, heading(page)) == (400, "Invalid link")
    assert stored_state(ana) == before


@each_page
def test_a_link_that_is_used_meanwhile_shows_an_error(
    browser: Client, token_for: TokenFor, ana: User, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another request ends the token between the lookup by the page and its use."""
    page = open_page(browser, case, token_for(case))
    find_token = links._find_token

    def and_end_it(secret: str, purpose: Purpose) -> OneTimeToken:
        token = find_token(secret, purpose)
        one_time_tokens.end_all_and_invitation(token.user)
        return token

    monkeypatch.setattr(links, "_find_token", and_end_it)
    status, page = submit(browser, case, page)
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
def test_a_rejected_password_is_shown_at_its_field_and_does_not_use_up_the_link(
    browser: Client, token_for: TokenFor, ana: User, case: Case, wrong: tuple[str, str]
) -> None:
    password, message = wrong
    page = open_page(browser, case, token_for(case))
    before = stored_state(ana)
    status, page = submit(browser, case, page, new_password=password, password=password)
    assert status == 400
    assert ERROR_TITLE in page
    name = "new_password" if case is RESET else "password"
    (errors,) = re.findall(rf'id="id_{name}_error">(.*?)</ul>', page)
    assert message in errors
    (field,) = re.findall(rf'<input type="password" name="{name}".*?>', page)
    assert f'aria-describedby="id_{name}_helptext id_{name}_error"' in field
    assert 'aria-invalid="true"' in field
    assert "autofocus" in field
    assert not password or password not in field
    assert stored_state(ana) == before
    assert submit(browser, case, page)[0] == 200


def test_spaces_are_part_of_a_password(browser: Client, token_for: TokenFor, ana: User) -> None:
    submit(browser, RESET, open_page(browser, RESET, token_for(RESET)), new_password=f"  {OTHER_PASSWORD} ")
    ana.refresh_from_db()
    assert ana.check_password(f"  {OTHER_PASSWORD} ")


def test_a_name_with_control_characters_is_rejected(browser: Client, token_for: TokenFor, ana: User) -> None:
    page = open_page(browser, INVITATION, token_for(INVITATION))
    before = stored_state(ana)
    status, page = submit(browser, INVITATION, page, full_name="Ana\u202egnp.exe")
    assert status == 400
    assert "Names can&#x27;t contain control characters." in page
    assert stored_state(ana) == before


def test_password_managers_find_the_page_to_change_a_password(client: Client, settings: Settings) -> None:
    answer = client.get("/.well-known/change-password")
    assert (answer.status_code, answer["Location"]) == (302, "/forgot-password")
    assert client.get(answer["Location"]).status_code == 200
    settings.FRONTEND_URL = "https://app.example.com"
    assert client.get("/.well-known/change-password")["Location"] == "https://app.example.com/reset-password"
    missing = client.get("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200")
    assert missing.status_code == 404  # password managers check this before they trust the redirect
