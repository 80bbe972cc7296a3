"""The pages behind emailed links: their content, the attempts that they count, and the data that they protect."""

import re

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from accounts import one_time_tokens
from accounts.errors import Overloaded
from accounts.hashing.limiter import HashingLimiter
from accounts.models import RateBucket, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from tests.accounts.pages.link_pages import (
    INVITATION,
    RESET,
    WITH_PASSWORD,
    Case,
    TokenFor,
    each_page,
    heading,
    open_page,
    stored_state,
    submit,
)
from usermanager.environment import rate


def test_input_is_escaped(browser: Client, token_for: TokenFor) -> None:
    page = open_page(browser, INVITATION, token_for(INVITATION))
    typed = '"><script>alert(1)</script>'
    _status, page = submit(browser, INVITATION, page, full_name=typed, password="short")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@each_page
def test_attempts_count_unless_the_link_works(
    client: Client, token_for: TokenFor, case: Case, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    form = {"token": token_for(case)} | dict.fromkeys(case.filled, "password")
    if case in WITH_PASSWORD:
        assert [client.post(case.path, form).status_code for _time in range(5)] == [400] * 5, "a bad password"
    for _time in range(2):
        assert client.post(case.path, {"token": "wrong"}).status_code == 400
    answer = client.post(case.path, form)
    assert answer.status_code == 429
    assert 3500 < int(answer["Retry-After"]) <= 3600
    assert answer["RateLimit"] == f'"token";r=0;t={answer["Retry-After"]}'
    assert answer["RateLimit-Policy"] == '"token";q=2;w=3600'
    assert heading(answer.content.decode()) == "Too many requests"
    RateBucket.objects.all().delete()
    assert client.post(case.path, form | case.filled).status_code == 200


@each_page
def test_opening_a_page_is_no_attempt_because_any_site_can_make_its_visitors_do_it(
    client: Client, token_for: TokenFor, case: Case, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    secret = token_for(case)
    for _time in range(3):
        assert client.get(case.path, {"token": "x"}, headers={"Sec-Fetch-Dest": "image"}).status_code == 400
        assert client.head(case.path, {"token": "x"}).status_code == 400
    assert client.get(case.path, {"token": secret}).status_code == 200
    assert client.post(case.path, {"token": secret} | case.filled).status_code == 200


@pytest.mark.parametrize("case", WITH_PASSWORD, ids=lambda case: case.path)
def test_a_user_can_submit_again_after_the_service_was_overloaded(
    browser: Client, token_for: TokenFor, ana: User, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(browser, case, token_for(case))
    before = stored_state(ana)
    full = HashingLimiter(settings.DATA_DIR / "full", 1, 0)
    with monkeypatch.context() as overload, full.slot():
        overload.setattr("accounts.hashing.hashers.get_limiter", lambda: full)
        status, page = submit(browser, case, page)
    assert status == Overloaded.status
    assert "Please try again in a moment." in page
    assert stored_state(ana) == before
    assert submit(browser, case, page)[0] == 200


def test_the_language_of_the_account_comes_before_that_of_the_browser(
    browser: Client, token_for: TokenFor, ana: User
) -> None:
    User.objects.filter(pk=ana.pk).update(locale="es")
    page = open_page(browser, RESET, token_for(RESET), "en")
    assert heading(page) == "Elige una contraseña nueva"
    answer = browser.get(RESET.path, {"token": "wrong"}, headers={"Accept-Language": "en"})
    assert "<h1>Invalid link</h1>" in answer.content.decode(), "a stranger's language is their own"


@each_page
def test_a_page_leaks_nothing(browser: Client, token_for: TokenFor, case: Case) -> None:
    """The page's URL contains the token. No script reads it, no request sends it on, and no cache keeps it."""
    secret = token_for(case)
    answer = browser.get(case.path, {"token": secret})
    page = answer.content.decode()
    assert page.count(secret) == 1, "in the form, and not in its action"
    assert "<script" not in page
    assert "<style" not in page
    assert "style=" not in page
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["data:,", "/static/accounts/page.css"]
    assert answer["Referrer-Policy"] == "strict-origin"
    assert answer["Cache-Control"] == "no-store"
    assert "form-action 'self'" in answer["Content-Security-Policy"]


@each_page
def test_a_final_slash_is_accepted(browser: Client, token_for: TokenFor, case: Case) -> None:
    with_slash = case._replace(path=f"{case.path}/")
    assert submit(browser, case, open_page(browser, with_slash, token_for(case)))[0] == 200


@each_page
def test_every_input_has_a_label_and_an_autocomplete_attribute(
    browser: Client, token_for: TokenFor, case: Case
) -> None:
    page = open_page(browser, case, token_for(case))
    inputs = [tag for tag in re.findall(r"<input .*?>", page) if 'type="hidden"' not in tag]
    for tag in inputs:
        (name,) = re.findall(r'id="(\w+)"', tag)
        assert f'<label for="{name}">' in page
        assert "autocomplete=" in tag
        assert "placeholder" not in tag
    expected = {RESET.path: ["new-password"], INVITATION.path: ["name", "new-password"]}.get(case.path, [])
    assert re.findall(r'autocomplete="([\w-]+)"', page) == ["username", *expected]


def test_an_administrator_gets_a_link_to_the_admin_panel(browser: Client, token_for: TokenFor, root: User) -> None:
    secret = one_time_tokens.issue(root, Purpose.PASSWORD_RESET, request=new_id(), email=root.email)
    assert 'href="/admin/"' in submit(browser, RESET, open_page(browser, RESET, secret))[1]
    assert 'href="/admin/"' not in submit(browser, RESET, open_page(browser, RESET, token_for(RESET)))[1]


def test_with_a_frontend_the_user_gets_a_link_to_it(browser: Client, token_for: TokenFor, settings: Settings) -> None:
    settings.FRONTEND_URL = "https://app.example.com"
    assert 'href="https://app.example.com"' in submit(browser, RESET, open_page(browser, RESET, token_for(RESET)))[1]
