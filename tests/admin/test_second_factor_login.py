"""Login to the panel by a user who has a second factor, or needs one."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.exceptions import SuspiciousOperation
from django.test import Client
from pytest_django import Settings

from accounts import passwords
from accounts.mfa import pending_logins
from accounts.models import AuditEvent, Passkey, PendingLogin, Role, Session, TotpSecret, User
from tests.admin.second_factors import (
    FACTORS,
    HOME,
    LOGIN,
    ROLES,
    SECOND,
    Panel,
    is_in,
    key_in,
    send_code,
    send_password,
    text,
)
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import Phone, enrol

pytestmark = pytest.mark.django_db


@pytest.fixture
def phone(carla: User) -> Phone:
    return enrol(carla)


@pytest.fixture
def overdue(carla: User, settings: Settings) -> User:
    """Returns carla, whose role has required a second factor for longer than the grace period."""
    settings.MFA_GRACE = timedelta()
    Role.objects.filter(pk=carla.role_id).update(mfa="required")
    return carla


@pytest.mark.usefixtures("phone")
def test_the_right_password_leads_to_the_second_step_and_signs_nobody_in() -> None:
    client = Client()
    answer = send_password(client, ROLES)
    assert (answer.status_code, answer["Location"]) == (302, f"{SECOND}?next=%2Fadmin%2Faccounts%2Frole%2F")
    assert set(client.session.keys()) == {"accounts.mfa_token"}
    assert not is_in(client)
    assert not Session.objects.exists()
    assert AuditEvent.objects.filter(kind="session:opened").count() == 1  # that of enrol()


def test_a_code_opens_a_session_with_both_factors(carla: User, phone: Phone) -> None:
    client = Client()
    send_password(client, ROLES)
    answer = send_code(client, phone.code(), ROLES)
    assert (answer.status_code, answer["Location"]) == (302, ROLES)
    assert is_in(client)
    assert "accounts.mfa_token" not in client.session
    session = Session.objects.get()
    assert (session.amr, session.acr) == ("pwd otp mfa", "aal2")
    assert session.expires_at - session.created_at == timedelta(hours=12)


def test_a_recovery_code_works_in_the_same_field_and_once(phone: Phone) -> None:
    code = phone.recovery_codes[0].lower().replace("-", " ")
    first, second = Client(), Client()
    send_password(first)
    assert send_code(first, code).status_code == 302
    assert is_in(first)
    assert Session.objects.get().amr == "pwd recovery mfa"
    send_password(second)
    assert "This code or passkey was not accepted." in text(send_code(second, code))
    assert not is_in(second)


@pytest.mark.usefixtures("phone")
@pytest.mark.parametrize(("language", "words"), [("en", "was not accepted"), ("es", "no fue aceptado")])
@pytest.mark.parametrize("code", ["000000", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA", "x", "\0"])
def test_a_wrong_code_is_an_error_in_place(code: str, language: str, words: str) -> None:
    client = Client()
    send_password(client)
    answer = send_code(client, code, language=language)
    assert answer.status_code == 200
    assert words in text(answer) or code == "\0"
    assert 'name="code"' in text(answer)
    assert not is_in(client)
    assert not Session.objects.exists()


def test_the_same_code_works_once(phone: Phone) -> None:
    code, first, second = phone.code(), Client(), Client()
    for client in (first, second):
        send_password(client)
    send_code(first, code)
    send_code(second, code)
    assert (is_in(first), is_in(second)) == (True, False)


@pytest.mark.parametrize("following", ["", "https://evil.example.com/", "//evil.example.com", "javascript:alert(1)"])
def test_it_leads_to_the_overview_and_to_no_other_site(phone: Phone, following: str) -> None:
    client = Client()
    send_password(client, following)
    assert send_code(client, phone.code(), following)["Location"] == HOME


def test_the_field_is_made_for_codes(phone: Phone) -> None:
    client = Client()
    page = text(client.get(send_password(client)["Location"]))
    assert 'inputmode="numeric"' in page
    assert 'autocomplete="one-time-code"' in page
    assert "?letters&" in page
    letters = text(client.get(f"{SECOND}?letters&next=/admin/"))
    assert 'name="code"' in letters
    assert 'inputmode="numeric"' not in letters


@pytest.mark.usefixtures("phone")
def test_five_wrong_codes_end_the_login() -> None:
    client = Client()
    send_password(client)
    for _time in range(5):
        assert send_code(client, "000000").status_code == 200
    answer = client.post(SECOND, {"code": "000000"}, follow=True)
    assert answer.request["PATH_INFO"] == LOGIN
    assert "This login has expired. Please log in again." in text(answer)


def test_attempts_are_limited_per_account(phone: Phone, settings: Settings) -> None:
    settings.RATE_LIMITS = True
    for number in range(6):
        client = Client(REMOTE_ADDR=f"10.0.0.{number}")
        send_password(client)
        answer = send_code(client, "000000" if number < 5 else phone.recovery_codes[0])
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    assert "Try again in" in text(answer)
    assert not is_in(client)


def _reset_password(user: User) -> None:
    passwords.change(user, PASSWORD, OTHER_PASSWORD, keep=None)


def _expire(user: User) -> None:
    PendingLogin.objects.update(expires_at=user.created_at)


@pytest.mark.parametrize("event", [_reset_password, _expire, pending_logins.end_all])
def test_the_row_decides_and_not_the_cookie(carla: User, phone: Phone, event: Callable[[User], object]) -> None:
    client = Client()
    send_password(client)
    event(carla)
    assert client.get(SECOND)["Location"].startswith(LOGIN)
    assert send_code(client, phone.code())["Location"].startswith(LOGIN)
    assert not is_in(client)


def test_without_a_password_there_is_no_second_step(phone: Phone) -> None:
    client = Client()
    assert client.get(SECOND)["Location"].startswith(LOGIN)
    assert send_code(client, phone.code())["Location"].startswith(LOGIN)
    assert not Session.objects.exists()


def test_a_login_as_another_user_signs_the_first_out(root: User, phone: Phone, panel_of: Panel) -> None:
    client = panel_of(root)
    send_password(client)
    assert not is_in(client)
    assert not Session.objects.active().exists()
    send_code(client, phone.code())
    assert Session.objects.active().get().user.email == "carla@example.com"


@pytest.mark.usefixtures("phone")
def test_a_password_alone_never_opens_a_session(carla: User) -> None:
    """Django's own way in knows no second factor, and login.open_session() refuses it."""
    client = Client()
    with pytest.raises(SuspiciousOperation):
        client.force_login(carla)
    assert not is_in(client)


def test_a_user_who_must_enrol_does_so_before_the_session(overdue: User) -> None:
    client = Client()
    answer = send_password(client, ROLES)
    assert answer["Location"] == f"{FACTORS}?next=%2Fadmin%2Faccounts%2Frole%2F"
    assert not is_in(client)
    page = text(client.get(answer["Location"]))
    assert not Session.objects.exists()
    phone = Phone(key_in(page))
    wrong = client.post(FACTORS, {"operation": "confirm", "code": "000000", "next": ROLES})
    assert "was not accepted" in text(wrong)
    assert page.partition('class="qr"')[2].partition("</svg>")[0] in text(wrong)  # the same QR code
    answer = client.post(FACTORS, {"operation": "confirm", "code": phone.code(), "next": ROLES})
    assert text(answer).count("<li><code>") == 10
    assert f'href="{ROLES}"' in text(answer)
    assert is_in(client)
    session = Session.objects.get()
    assert session.amr == "pwd otp mfa"
    assert session.expires_at - session.created_at == timedelta(hours=12)


def test_nobody_else_sees_the_key_of_an_enrolment(overdue: User) -> None:
    thief, owner = Client(), Client()
    keys = []
    for client in (thief, owner):
        keys.append(key_in(text(client.get(send_password(client)["Location"]))))
    assert all(keys)
    assert keys[0] != keys[1]
    assert TotpSecret.objects.count() == 1


def test_a_reset_needs_the_emailed_link(overdue: User) -> None:
    User.objects.filter(pk=overdue.pk).update(mfa_reset_at=overdue.created_at)
    client = Client()
    answer = send_password(client)
    assert answer.status_code == 200
    assert "Please open the link in the email that we sent you" in text(answer)
    assert not client.session.keys()
    assert not Session.objects.exists()
    assert not Passkey.objects.exists()


def test_an_unconfirmed_address_learns_so(overdue: User) -> None:
    User.objects.filter(pk=overdue.pk).update(email_verified=False)
    assert "Please confirm your address" in text(send_password(Client()))
