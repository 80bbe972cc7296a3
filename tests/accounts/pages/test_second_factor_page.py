"""The page on which a user sets up a second factor after an administrator's reset, in a browser without JavaScript."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import login, one_time_tokens, second_factor
from accounts.errors import SecondFactorRequired
from accounts.mfa.pending_logins import MAX_ATTEMPTS
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import AuditEvent, PendingLogin, RecoveryCode, Session, TotpSecret, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from tests.accounts.pages.link_pages import ERROR_TITLE, heading, stored_state
from tests.accounts.pages.second_factor_page import (
    APP,
    DONE,
    PATH,
    START,
    code_of,
    confirm,
    fresh,
    has_no_factor,
    issue,
    key,
    sign_in,
)
from tests.conftest import OTHER_PASSWORD, PASSWORD
from usermanager.environment import rate

SCRIPT = '<script src="/static/accounts/passkeys.js" defer></script>'
CODE = re.compile(r"<li><code>([0-9A-Z]{4}(?:-[0-9A-Z]{4}){5})</code></li>")


@pytest.fixture
def ana(person: Callable[..., User]) -> User:
    return person("ana", mfa_reset_at=timezone.now())


def pending_login(user: User) -> str:
    """Signs in with the password. Returns the token of the login, which waits for the second factor."""
    with pytest.raises(SecondFactorRequired) as required:
        login.log_in(user.email, PASSWORD)
    return str(required.value.members["mfa_token"])


@pytest.mark.parametrize(
    ("language", "headings"),
    [
        ("en", (START, APP, DONE)),
        (
            "es",
            (
                "Configura un segundo factor",
                "Añade un segundo factor",
                "Tu segundo factor está configurado",
            ),
        ),
    ],
)
def test_a_user_sets_up_an_app(
    browser: Client, ana: User, secret: str, language: str, headings: tuple[str, str, str]
) -> None:
    opened = browser.get(PATH, {"token": secret}, headers={"Accept-Language": language}).content.decode()
    page = sign_in(browser, secret, language=language)
    answer = confirm(browser, page, language)
    pages = [opened, page, answer.content.decode()]
    assert [heading(one) for one in pages] == list(headings)
    assert all(f'<html lang="{language}">' in one for one in pages)
    assert answer.status_code == 200
    assert fresh(ana).mfa_enabled
    assert fresh(ana).mfa_reset_at is None


def test_the_recovery_codes_are_shown_and_work(browser: Client, ana: User, secret: str) -> None:
    codes = CODE.findall(confirm(browser, sign_in(browser, secret)).content.decode())
    assert len(set(codes)) == 10
    second_factor.finish_login(pending_login(fresh(ana)), SubmittedProof(recovery_code=codes[0]))
    assert RecoveryCode.objects.filter(used_at=None).count() == 9


def test_the_user_can_sign_in_afterwards_and_the_page_opens_no_session(browser: Client, ana: User, secret: str) -> None:
    answer = confirm(browser, sign_in(browser, secret))
    assert not Session.objects.exists()
    assert not answer.cookies
    assert fresh(ana).last_login_at is None
    assert pending_login(fresh(ana))
    kinds = list(AuditEvent.objects.order_by("id").values_list("kind", flat=True))
    assert kinds[:2] == ["login:pending", "factor:added"]


def test_the_page_shows_the_key_as_image_and_text(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret)
    assert re.search(r'<div class="qr" role="img" aria-label="[^"]+"><svg [^>]*viewBox="0 0 \d+ \d+"', page)
    assert re.search(r'<code class="key">[A-Z2-7]{4}( [A-Z2-7]{4}){7}</code>', page)
    (uri,) = re.findall(r'href="(otpauth:[^"]+)"', page)
    assert f"otpauth://totp/UserManager:ana%40example.com?secret={key(page)}&amp;issuer=UserManager" == uri
    (field,) = re.findall(r'<input type="text" name="code"[^>]*>', page)
    assert 'inputmode="numeric"' in field
    assert 'autocomplete="one-time-code"' in field
    assert '<label for="id_code">' in page


@pytest.mark.parametrize("method", ["get", "head"])
def test_opening_the_page_uses_nothing_up(ana: User, secret: str, method: str) -> None:
    before = stored_state(ana)
    for _scanner in range(3):
        assert getattr(Client(), method)(PATH, {"token": secret}).status_code == 200
    assert stored_state(ana) == before
    assert not PendingLogin.objects.exists()
    assert one_time_tokens.find(secret, Purpose.SECOND_FACTOR)


def test_a_wrong_password_is_an_error_of_a_login(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret, OTHER_PASSWORD, status=401)
    assert "The address or the password is wrong." in page
    assert ERROR_TITLE in page
    assert OTHER_PASSWORD not in page
    assert (AuditEvent.objects.get().kind, PendingLogin.objects.exists()) == ("login:failed", False)
    assert heading(sign_in(browser, secret)) == APP


def test_wrong_passwords_count_as_failed_logins(browser: Client, ana: User, secret: str, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_LOGIN = True, rate("2/1h")
    for _time in range(2):
        sign_in(browser, secret, OTHER_PASSWORD, status=401)
    assert "Too many attempts." in sign_in(browser, secret, PASSWORD, status=429)
    assert not PendingLogin.objects.exists()


def test_the_password_of_another_user_is_wrong(browser: Client, ana: User, secret: str, bruno: User) -> None:
    bruno.set_password(OTHER_PASSWORD)
    bruno.save()
    sign_in(browser, secret, OTHER_PASSWORD, status=401)
    assert not PendingLogin.objects.exists()


def test_a_user_without_a_confirmed_address_cannot_enrol(browser: Client, ana: User, secret: str) -> None:
    User.objects.filter(pk=ana.pk).update(email_verified=False)
    assert "Please confirm your address" in sign_in(browser, secret, status=403)
    assert not TotpSecret.objects.exists()


@pytest.mark.parametrize("code", ["000000", "12345", "١٢٣٤٥٦"])
def test_a_wrong_code_is_shown_at_its_field_with_the_same_key(
    browser: Client, ana: User, secret: str, code: str
) -> None:
    page = sign_in(browser, secret)
    answer = confirm(browser, page, code=code)
    again = answer.content.decode()
    assert (answer.status_code, heading(again), key(again)) == (401, APP, key(page))
    assert ERROR_TITLE in again
    assert re.search(r'id="id_code_error">.*This code or passkey was not accepted', again)
    (field,) = re.findall(r'<input type="text" name="code"[^>]*>', again)
    assert "autofocus" in field
    assert code not in field
    assert has_no_factor(ana)
    assert confirm(browser, again).status_code == 200


def test_an_empty_code_is_shown_at_its_field_and_is_no_attempt(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret)
    for _time in range(MAX_ATTEMPTS + 1):
        answer = confirm(browser, page, code="")
        assert answer.status_code == 400
        assert "This field is required." in answer.content.decode()
    assert confirm(browser, page).status_code == 200


def test_a_code_may_contain_spaces(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret)
    code = code_of(page)
    assert confirm(browser, page, code=f" {code[:3]} {code[3:]} ").status_code == 200


def test_after_five_wrong_codes_the_page_asks_for_the_password_again(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret)
    for _time in range(MAX_ATTEMPTS - 1):
        assert confirm(browser, page, code="000000").status_code == 401
    answer = confirm(browser, page, code="000000")
    assert (answer.status_code, heading(answer.content.decode())) == (400, START)
    assert "too many codes were wrong" in answer.content.decode()
    assert heading(confirm(browser, page).content.decode()) == START, "the right code comes too late"
    assert has_no_factor(ana)
    assert confirm(browser, sign_in(browser, secret)).status_code == 200, "the link still works"


def test_after_five_minutes_the_page_asks_for_the_password_again(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret)
    PendingLogin.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = confirm(browser, page)
    assert (answer.status_code, heading(answer.content.decode())) == (400, START)
    assert has_no_factor(ana)


@pytest.mark.parametrize("changed", [{"mfa_token": "x"}, {"mfa_token": ""}, {"factor": "x"}, {"factor": str(new_id())}])
def test_changed_hidden_fields_lead_back_to_the_password(
    browser: Client, ana: User, secret: str, changed: dict[str, str]
) -> None:
    answer = confirm(browser, sign_in(browser, secret), **changed)
    assert (answer.status_code, heading(answer.content.decode())) == (400, START)
    assert has_no_factor(ana)


def test_a_login_and_an_app_of_another_user_are_rejected(
    browser: Client, ana: User, secret: str, person: Callable[..., User]
) -> None:
    bruno = person("bruno", mfa_reset_at=timezone.now())
    foreign = sign_in(browser, issue(bruno))
    for fields in ({"token": secret}, {"token": secret, "code": "000000"}):
        answer = confirm(browser, foreign, **fields)
        assert (answer.status_code, heading(answer.content.decode())) == (400, START)
    assert has_no_factor(ana)
    assert has_no_factor(bruno)


def test_a_form_on_another_site_changes_nothing(browser: Client, ana: User, secret: str) -> None:
    before = stored_state(ana)
    assert browser.post(PATH, {"token": secret, "password": PASSWORD}).status_code == 403
    assert stored_state(ana) == before


def test_no_step_leaks_anything(browser: Client, ana: User, secret: str) -> None:
    """Only the script of passkeys reads a page, no request sends its URL on, no cache keeps it."""
    page = sign_in(browser, secret)
    answers = [browser.get(PATH, {"token": secret}), confirm(browser, page, code="000000"), confirm(browser, page)]
    for answer in answers:
        text = answer.content.decode()
        assert PASSWORD not in text
        assert not re.search("<script|<style|style=|javascript:", text.replace(SCRIPT, ""))
        links = re.findall(r'(?:src|href)="([^"]+)"', text.replace(SCRIPT, ""))
        assert [link for link in links if not link.startswith("otpauth:")] == ["data:,", "/static/accounts/page.css"]
        assert answer["Referrer-Policy"] == "strict-origin"
        assert answer["Cache-Control"] == "no-store"
        assert "style-src 'self';" in answer["Content-Security-Policy"]
    assert secret not in answers[-1].content.decode()
    assert key(page) not in answers[-1].content.decode()


def test_the_language_of_the_account_comes_before_that_of_the_browser(browser: Client, ana: User, secret: str) -> None:
    User.objects.filter(pk=ana.pk).update(locale="es")
    assert heading(sign_in(browser, secret)) == "Añade un segundo factor"


def test_the_last_page_leads_to_the_login(
    browser: Client, person: Callable[..., User], secret: str, settings: Settings
) -> None:
    settings.FRONTEND_URL = "https://app.example.com"
    root = person("root", role="admin", mfa_reset_at=timezone.now())
    pages = [confirm(browser, sign_in(browser, one)).content.decode() for one in (secret, issue(root))]
    assert ['href="https://app.example.com"' in page for page in pages] == [True, True]
    assert ['href="/admin/"' in page for page in pages] == [False, True]


def test_a_final_slash_is_accepted(browser: Client, ana: User, secret: str) -> None:
    assert browser.get(f"{PATH}/", {"token": secret}).status_code == 200
