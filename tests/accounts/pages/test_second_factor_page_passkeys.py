"""The passkey on the page on which a user sets up a second factor after an administrator's reset."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import login
from accounts.errors import SecondFactorRequired
from accounts.models import AuditEvent, OneTimeToken, Passkey, PendingLogin, Session, TotpSecret, User
from tests.accounts.pages.link_pages import ERROR_TITLE, heading, hidden
from tests.accounts.pages.second_factor_page import (
    APP,
    INVALID,
    PATH,
    START,
    add_passkey,
    confirm,
    fresh,
    has_no_factor,
    issue,
    key,
    passkey_options,
    sign_in,
)
from tests.authenticator import UP, Authenticator
from tests.conftest import PASSWORD


@pytest.fixture
def ana(person: Callable[..., User]) -> User:
    return person("ana", mfa_reset_at=timezone.now())


@pytest.mark.parametrize(
    ("language", "done"),
    [
        ("en", "From now on, you need your passkey to sign in to UserManager as ana@example.com."),
        ("es", "A partir de ahora, necesitas tu clave de acceso para iniciar sesión en UserManager como"),
    ],
)
def test_a_user_adds_a_passkey(browser: Client, ana: User, secret: str, language: str, done: str) -> None:
    answer = add_passkey(browser, sign_in(browser, secret, language=language), Authenticator(), language)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert done in page
    assert page.count("<li><code>") == 10
    assert not re.search("authenticator app|code of the app|aplicación", page)
    assert (fresh(ana).mfa_enabled, fresh(ana).mfa_reset_at) == (True, None)
    assert Passkey.objects.get().name == "Laptop"
    assert not TotpSecret.objects.filter(confirmed_at__isnull=False).exists()


def test_the_page_opens_no_session_and_the_login_asks_for_the_passkey(browser: Client, ana: User, secret: str) -> None:
    answer = add_passkey(browser, sign_in(browser, secret), Authenticator())
    assert not answer.cookies
    assert not Session.objects.exists()
    kinds = list(AuditEvent.objects.order_by("id").values_list("kind", flat=True))
    assert kinds[:2] == ["login:pending", "factor:added"]
    with pytest.raises(SecondFactorRequired) as required:
        login.log_in(ana.email, PASSWORD)
    assert "passkey" in required.value.members["methods"]
    assert "totp" not in required.value.members["methods"]


def test_the_form_is_hidden_without_the_script(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret)
    (form,) = re.findall(r"<form[^>]*data-passkey[^>]*>", page)
    assert form.endswith(" hidden>")
    (passkey,) = re.findall(r"<form[^>]*data-passkey.*?</form>", page, re.DOTALL)
    assert '<button type="submit">Add a passkey</button>' in passkey
    assert "passkey" not in page.replace(passkey, "").replace("accounts/passkeys.js", "").lower()
    assert passkey_options(page)["user"]["name"] == ana.email


@pytest.mark.parametrize("sent", ["{", "[]", "{}", '{"rawId": 1}', "[" * 10_000])
def test_a_malformed_answer_is_an_error_in_place(browser: Client, ana: User, secret: str, sent: str) -> None:
    page = sign_in(browser, secret)
    answer = add_passkey(browser, page, Authenticator(), passkey=sent)
    again = answer.content.decode()
    assert (answer.status_code, heading(again), key(again)) == (400, APP, key(page))
    assert ERROR_TITLE in again
    assert '<p class="error errornote" role="alert">This passkey was not accepted.</p>' in again
    assert has_no_factor(ana)
    assert add_passkey(browser, again, Authenticator()).status_code == 200


def test_a_passkey_that_did_not_verify_the_user_is_rejected(browser: Client, ana: User, secret: str) -> None:
    authenticator = Authenticator()
    authenticator.flags = UP
    assert add_passkey(browser, sign_in(browser, secret), authenticator).status_code == 400
    assert has_no_factor(ana)


def test_a_passkey_of_another_user_is_rejected(
    browser: Client, ana: User, secret: str, person: Callable[..., User]
) -> None:
    bruno = person("bruno", mfa_reset_at=timezone.now())
    authenticator = Authenticator()
    assert add_passkey(browser, sign_in(browser, issue(bruno)), authenticator).status_code == 200
    answer = add_passkey(browser, sign_in(browser, secret), authenticator)
    assert answer.status_code == 409
    assert "This passkey is registered already." in answer.content.decode()
    assert has_no_factor(ana)


@pytest.mark.parametrize(
    ("name", "words"), [("x" * 65, "a name of up to 64 characters"), ("a\u202eb", "contain control characters")]
)
def test_an_invalid_name_is_an_error_in_place(browser: Client, ana: User, secret: str, name: str, words: str) -> None:
    answer = add_passkey(browser, sign_in(browser, secret), Authenticator(), name=name)
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert has_no_factor(ana)


def test_without_a_name_it_gets_one(browser: Client, ana: User, secret: str) -> None:
    add_passkey(browser, sign_in(browser, secret), Authenticator(), name=" ")
    assert Passkey.objects.get().name == "Passkey"


def test_a_code_after_a_rejected_passkey_is_accepted(browser: Client, ana: User, secret: str) -> None:
    again = add_passkey(browser, sign_in(browser, secret), Authenticator(), passkey="{}").content.decode()
    assert confirm(browser, again).status_code == 200
    assert fresh(ana).mfa_enabled


@pytest.mark.parametrize("sent", [{}, {"passkey": ""}])
def test_after_five_minutes_the_page_asks_for_the_password_again(
    browser: Client, ana: User, secret: str, sent: dict[str, str]
) -> None:
    """The script sends no passkey if the page is older than that."""
    page = sign_in(browser, secret)
    PendingLogin.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = add_passkey(browser, page, Authenticator(), **sent)
    assert (answer.status_code, heading(answer.content.decode())) == (400, START)
    assert "You took too long" in answer.content.decode()
    assert has_no_factor(ana)


@pytest.mark.parametrize("mfa_token", ["x", ""])
def test_an_unknown_pending_login_leads_back_to_the_password(
    browser: Client, ana: User, secret: str, mfa_token: str
) -> None:
    answer = add_passkey(browser, sign_in(browser, secret), Authenticator(), mfa_token=mfa_token)
    assert (answer.status_code, heading(answer.content.decode())) == (400, START)
    assert has_no_factor(ana)


def test_a_pending_login_of_another_user_is_rejected(
    browser: Client, ana: User, secret: str, person: Callable[..., User]
) -> None:
    bruno = person("bruno", mfa_reset_at=timezone.now())
    foreign = sign_in(browser, issue(bruno))
    answer = add_passkey(browser, foreign, Authenticator(), token=secret)
    assert (answer.status_code, heading(answer.content.decode())) == (400, START)
    assert has_no_factor(ana)
    assert has_no_factor(bruno)


def test_a_challenge_of_another_pending_login_is_rejected(browser: Client, ana: User, secret: str) -> None:
    first, second = sign_in(browser, secret), sign_in(browser, secret)
    answer = add_passkey(browser, first, Authenticator(), mfa_token=hidden(second, "mfa_token"))
    assert answer.status_code == 400
    assert has_no_factor(ana)


def test_a_link_that_has_ended_adds_nothing(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret)
    OneTimeToken.objects.update(expires_at=timezone.now())
    answer = add_passkey(browser, page, Authenticator())
    assert (answer.status_code, heading(answer.content.decode())) == (400, INVALID)
    assert has_no_factor(ana)


def send_passkey(browser: Client, page: str) -> Any:
    return add_passkey(browser, page, Authenticator())


@pytest.mark.parametrize("send", [confirm, send_passkey])
def test_an_address_that_is_no_longer_confirmed_is_an_error(
    browser: Client, ana: User, secret: str, send: Callable[[Client, str], Any]
) -> None:
    page = sign_in(browser, secret)
    User.objects.filter(pk=ana.pk).update(email_verified=False)
    answer = send(browser, page)
    assert answer.status_code == 403
    assert "Please confirm your address" in answer.content.decode()
    assert has_no_factor(ana)


def test_after_the_passkey_the_link_and_the_code_are_rejected(browser: Client, ana: User, secret: str) -> None:
    page = sign_in(browser, secret)
    assert send_passkey(browser, page).status_code == 200
    assert heading(confirm(browser, page).content.decode()) == INVALID
    assert heading(browser.get(PATH, {"token": secret}).content.decode()) == INVALID
