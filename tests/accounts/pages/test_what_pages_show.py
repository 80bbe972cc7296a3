"""What the pages behind mailed links show, count and give away, whoever opens them."""

import re

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from accounts import tokens
from accounts.errors import Overloaded
from accounts.hashing_gate import HashingGate
from accounts.models import RateBucket, User
from accounts.models.identifiers import new_id
from accounts.tokens import Purpose
from tests.accounts.pages.mailed import (
    INVITATION,
    RESET,
    WITH_PASSWORD,
    Case,
    Mailed,
    each_page,
    heading,
    opened,
    sent,
    state,
)
from usermanager.environment import rate


def test_what_somebody_typed_is_escaped(browser: Client, mailed: Mailed) -> None:
    page = opened(browser, INVITATION, mailed(INVITATION))
    typed = '"><script>alert(1)</script>'
    _status, page = sent(browser, INVITATION, page, full_name=typed, password="short")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@each_page
def test_tries_are_counted_and_a_working_link_is_none(
    client: Client, mailed: Mailed, case: Case, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    form = {"token": mailed(case)} | dict.fromkeys(case.filled, "password")
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
def test_opening_pages_counts_nowhere_as_any_site_can_do_that_to_its_visitors(
    client: Client, mailed: Mailed, case: Case, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    secret = mailed(case)
    for _time in range(3):
        assert client.get(case.path, {"token": "x"}, headers={"Sec-Fetch-Dest": "image"}).status_code == 400
        assert client.head(case.path, {"token": "x"}).status_code == 400
    assert client.get(case.path, {"token": secret}).status_code == 200
    assert client.post(case.path, {"token": secret} | case.filled).status_code == 200


@pytest.mark.parametrize("case", WITH_PASSWORD, ids=lambda case: case.path)
def test_who_finds_the_service_overloaded_may_press_again(
    browser: Client, mailed: Mailed, ana: User, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(browser, case, mailed(case))
    before = state(ana)
    full = HashingGate(settings.DATA_DIR / "full", 1, 0)
    with monkeypatch.context() as overload, full.place():
        overload.setattr("accounts.hashers.gate", lambda: full)
        status, page = sent(browser, case, page)
    assert status == Overloaded.status
    assert "Please try again in a moment." in page
    assert state(ana) == before
    assert sent(browser, case, page)[0] == 200


def test_the_language_of_the_account_comes_before_the_browsers(browser: Client, mailed: Mailed, ana: User) -> None:
    User.objects.filter(pk=ana.pk).update(locale="es")
    page = opened(browser, RESET, mailed(RESET), "en")
    assert heading(page) == "Elige una contraseña nueva"
    answer = browser.get(RESET.path, {"token": "wrong"}, headers={"Accept-Language": "en"})
    assert "<h1>Invalid link</h1>" in answer.content.decode(), "a stranger's language is their own"


@each_page
def test_a_page_leaks_nothing(browser: Client, mailed: Mailed, case: Case) -> None:
    """The address of the page holds the secret: no script reads it, nothing is asked for with it, nothing keeps it."""
    secret = mailed(case)
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
def test_a_final_slash_does_no_harm(browser: Client, mailed: Mailed, case: Case) -> None:
    with_slash = case._replace(path=f"{case.path}/")
    assert sent(browser, case, opened(browser, with_slash, mailed(case)))[0] == 200


@each_page
def test_every_input_has_a_label_and_tells_password_managers_what_it_is(
    browser: Client, mailed: Mailed, case: Case
) -> None:
    page = opened(browser, case, mailed(case))
    inputs = [tag for tag in re.findall(r"<input .*?>", page) if 'type="hidden"' not in tag]
    for tag in inputs:
        (name,) = re.findall(r'id="(\w+)"', tag)
        assert f'<label for="{name}">' in page
        assert "autocomplete=" in tag
        assert "placeholder" not in tag
    expected = {RESET.path: ["new-password"], INVITATION.path: ["name", "new-password"]}.get(case.path, [])
    assert re.findall(r'autocomplete="([\w-]+)"', page) == ["username", *expected]


def test_who_may_enter_the_admin_panel_is_shown_the_way(browser: Client, mailed: Mailed, root: User) -> None:
    secret = tokens.issue(root, Purpose.PASSWORD_RESET, request=new_id(), email=root.email)
    assert 'href="/admin/"' in sent(browser, RESET, opened(browser, RESET, secret))[1]
    assert 'href="/admin/"' not in sent(browser, RESET, opened(browser, RESET, mailed(RESET)))[1]


def test_where_there_is_a_front_end_the_way_leads_there(browser: Client, mailed: Mailed, settings: Settings) -> None:
    settings.FRONTEND_URL = "https://app.example.com"
    assert 'href="https://app.example.com"' in sent(browser, RESET, opened(browser, RESET, mailed(RESET)))[1]
