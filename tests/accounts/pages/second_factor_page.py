"""The steps of a user who sets up a second factor on the page behind the emailed link."""

import json
import re
from html import unescape
from typing import Any

import pyotp
from django.test import Client

from accounts import one_time_tokens
from accounts.models import Passkey, RecoveryCode, TotpSecret, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from tests.accounts.pages.link_pages import hidden
from tests.authenticator import Authenticator
from tests.conftest import PASSWORD

PATH = "/set-up-second-factor"
START, APP, DONE, INVALID = (
    "Set up a second factor",
    "Add a second factor",
    "Your second factor is set up",
    "Invalid link",
)


def sign_in(browser: Client, secret: str, password: str = PASSWORD, status: int = 200, language: str = "en") -> str:
    """Opens the link, submits the password, and returns the page that follows."""
    headers = {"Accept-Language": language}
    page = browser.get(PATH, {"token": secret}, headers=headers).content.decode()
    fields = {name: hidden(page, name) for name in ("csrfmiddlewaretoken", "token")}
    answer = browser.post(PATH, fields | {"password": password}, headers=headers)
    assert answer.status_code == status, answer.content
    return answer.content.decode()


def key(page: str) -> str:
    """Returns the secret that the page shows as text."""
    (shown,) = re.findall(r'<code class="key">([A-Z2-7 ]+)</code>', page)
    return str(shown).replace(" ", "")


def code_of(page: str) -> str:
    return pyotp.TOTP(key(page)).now()


def confirm(browser: Client, page: str, language: str = "en", **changed: str) -> Any:
    """Submits the code of the app that has the page's secret. Returns the response."""
    names = ("csrfmiddlewaretoken", "token", "mfa_token", "factor")
    fields = {name: hidden(page, name) for name in names} | {"code": code_of(page)}
    return browser.post(PATH, fields | changed, headers={"Accept-Language": language})


def passkey_options(page: str) -> dict[str, Any]:
    """Returns the options with which the browser creates a passkey."""
    (options,) = re.findall('data-options="([^"]+)"', page)
    found: dict[str, Any] = json.loads(unescape(options))
    return found


def add_passkey(browser: Client, page: str, authenticator: Authenticator, language: str = "en", **changed: str) -> Any:
    """Submits the answer of the authenticator, as passkeys.js does. Returns the response."""
    names = ("csrfmiddlewaretoken", "token", "mfa_token", "factor")
    answer = json.dumps(authenticator.create(passkey_options(page)))
    fields = {name: hidden(page, name) for name in names} | {"passkey": answer, "name": "Laptop"}
    return browser.post(PATH, fields | changed, headers={"Accept-Language": language})


def issue(user: User, purpose: Purpose = Purpose.SECOND_FACTOR) -> str:
    """Returns a token, as a link emailed to the user contains it."""
    return one_time_tokens.issue(user, purpose, request=new_id(), email=user.email)


def fresh(user: User) -> User:
    return User.objects.select_related("role").get(pk=user.pk)


def has_no_factor(user: User) -> bool:
    confirmed = TotpSecret.objects.filter(user=user, confirmed_at__isnull=False)
    stored = [confirmed, Passkey.objects.filter(user=user), RecoveryCode.objects.filter(user=user)]
    return not (fresh(user).mfa_enabled or any(rows.exists() for rows in stored))
