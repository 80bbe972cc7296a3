"""The pages behind emailed links, and the steps of a user who opens one and submits its form."""

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from django.test import Client

from accounts.models import AuditEvent, OneTimeToken, User
from accounts.one_time_tokens import Purpose
from tests.conftest import OTHER_PASSWORD

ANA, NEW_ANA = "ana@example.com", "ana@new.example"
ERROR_TITLE = "<title>Error: "


class Case(NamedTuple):
    """A page, the purpose of its tokens, its input, and its headings before and after the form is submitted."""

    path: str
    purpose: Purpose
    filled: dict[str, str]
    english: tuple[str, str]
    spanish: tuple[str, str]


CASES = [
    Case(
        "/reset-password",
        Purpose.PASSWORD_RESET,
        {"new_password": OTHER_PASSWORD},
        ("Choose a new password", "Your password was changed"),
        ("Elige una contraseña nueva", "Tu contraseña ha cambiado"),
    ),
    Case(
        "/verify-email",
        Purpose.VERIFY_EMAIL,
        {},
        ("Confirm your email address", "Your email address is confirmed"),
        ("Confirma tu dirección de correo", "Tu dirección de correo está confirmada"),
    ),
    Case(
        "/change-email",
        Purpose.EMAIL_CHANGE,
        {},
        ("Confirm your new email address", "Your email address was changed"),
        ("Confirma tu nueva dirección de correo", "Tu dirección de correo ha cambiado"),
    ),
    Case(
        "/accept-invitation",
        Purpose.INVITATION,
        {"password": OTHER_PASSWORD, "full_name": "Ana García"},
        ("Accept the invitation", "Welcome to UserManager"),
        ("Acepta la invitación", "Te damos la bienvenida a UserManager"),
    ),
]
RESET, VERIFY, CHANGE, INVITATION = CASES
WITH_PASSWORD = [RESET, INVITATION]

each_page = pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)

TokenFor = Callable[[Case], str]


def open_page(browser: Client, case: Case, secret: str, language: str = "en") -> str:
    answer = browser.get(case.path, {"token": secret}, headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def hidden(page: str, name: str) -> str:
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]+)">', page)
    assert found, page
    return found[1]


def submit(browser: Client, case: Case, page: str, language: str = "en", **filled: str) -> tuple[int, str]:
    """Submits the form of the page. Returns the status and the page that follows."""
    (action,) = re.findall(r'<form action="([^"]+)" method="post">', page)
    fields = {name: hidden(page, name) for name in ("csrfmiddlewaretoken", "token")}
    answer = browser.post(action, fields | case.filled | filled, headers={"Accept-Language": language})
    return answer.status_code, answer.content.decode()


def heading(page: str) -> str:
    (found,) = re.findall(r"<h1>(.*?)</h1>", page)
    return str(found)


def stored_state(user: User) -> dict[str, object]:
    """Returns all data that a page could change."""
    return {
        "user": User.objects.filter(pk=user.pk).values("email", "email_verified", "full_name", "password").get(),
        "tokens": list(OneTimeToken.objects.values("pk", "used_at", "ended_at")),
        "audit": AuditEvent.objects.count(),
    }
