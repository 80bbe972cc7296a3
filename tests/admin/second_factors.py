"""The pages of the panel that ask for second factors and add them, and the steps of a user on them."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

from django.test import Client
from django.utils import timezone

from accounts.models import Session, User
from tests.conftest import PASSWORD
from tests.second_factors import Phone

HOME = "/admin/"
LOGIN = "/admin/login/"
SECOND = "/admin/login/second/"
FACTORS = "/admin/second-factor/"
CONFIRM = "/admin/confirm/"
PASSWORDS = "/admin/password_change/"
ROLES = "/admin/accounts/role/"

Panel = Callable[[User], Client]


def text(answer: Any) -> str:
    return unescape(answer.content.decode())


def key_in(page: str) -> str:
    """Returns the secret that the page shows as text, or "" if it shows none."""
    return page.partition('class="key">')[2].partition("<")[0].replace(" ", "")


def send_password(client: Client, following: str = HOME, *, email: str = "carla@example.com") -> Any:
    return client.post(LOGIN, {"username": email, "password": PASSWORD, "next": following})


def send_code(client: Client, code: str, following: str = HOME, language: str = "en") -> Any:
    return client.post(SECOND, {"code": code, "next": following}, headers={"Accept-Language": language})


def sign_in(user: User, phone: Phone) -> Client:
    """Signs a user with a second factor in."""
    client = Client()
    send_password(client, email=user.email)
    assert send_code(client, phone.code())["Location"] == HOME
    return client


def is_in(client: Client) -> bool:
    return client.get(HOME).status_code == 200


def make_stale() -> None:
    """Makes all logins older than FRESH_LOGIN_LIFETIME."""
    long_ago = timezone.now() - timedelta(minutes=11)
    Session.objects.update(created_at=long_ago, stepped_up_at=None)
