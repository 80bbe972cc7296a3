"""A stranger registers an address before or after its owner. Only the reader of its emails gets in."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.urls import reverse
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import email_verification, registration, users
from accounts.errors import InvalidToken
from accounts.limits import rate_limits
from accounts.models import AuditEvent, OneTimeToken, Role, Session, User
from notifications import outbox
from notifications.content import composing
from notifications.models import OutboxMail
from notifications.sending import delivery
from tests.api.requests import all_rows, full_response, log_in, may_log_in, me, pending_emails, post, receive_token
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from usermanager.environment import rate

EMAIL = "ana@example.com"
ROUNDS = 12


@pytest.fixture
def required(settings: Settings, db: None) -> None:
    settings.EMAIL_VERIFICATION = "required"


def register(password: str = PASSWORD, email: str = EMAIL, **fields: Any) -> Any:
    return post(APIClient(), "auth/register/", email=email, password=password, **fields)


def verify(secret: str, client: APIClient | None = None) -> Any:
    return post(client or APIClient(), "auth/email/verify/", token=secret)


@pytest.mark.usefixtures("required")
def test_neither_password_outlives_a_second_registration() -> None:
    first = register(full_name="Mallory", locale="es")
    older = receive_token("welcome")
    second = register(OTHER_PASSWORD, full_name="Ana")
    assert full_response(first) == full_response(second)
    refused(verify(older), 400, "invalid_token")
    user = User.objects.get()
    assert not user.has_usable_password()
    assert (user.full_name, user.locale, user.email_verified) == ("", "", False)
    assert pending_emails() == [("verify_email", EMAIL)]
    assert verify(receive_token("verify_email")).status_code == 204
    assert not may_log_in()
    assert not may_log_in(password=OTHER_PASSWORD)
    post(APIClient(), "auth/password/reset/", email=EMAIL)
    secret = receive_token("password_reset")
    post(APIClient(), "auth/password/reset/confirm/", token=secret, new_password="a third good password")
    assert may_log_in(password="a third good password")
    kinds = list(AuditEvent.objects.order_by("id").values_list("kind", "actor_id"))
    assert (kinds[1], kinds[2][0]) == (("user:registration_repeated", None), "email:verified")


@pytest.mark.usefixtures("required")
def test_a_later_registration_by_a_stranger_ends_one_link_at_most() -> None:
    register()
    register(OTHER_PASSWORD)
    newest = receive_token("verify_email")
    for number in range(3):
        register(f"{OTHER_PASSWORD} {number}")
    assert verify(newest).status_code == 204
    assert not any(may_log_in(password=one) for one in (PASSWORD, OTHER_PASSWORD, f"{OTHER_PASSWORD} 0"))


@pytest.mark.usefixtures("required")
def test_a_pending_welcome_has_no_link_after_a_second_registration() -> None:
    register()
    register(OTHER_PASSWORD)
    welcome = OutboxMail.objects.get(kind="welcome")
    delivery.deliver(welcome.pk)
    welcome.refresh_from_db()
    assert welcome.state == "cancelled"
    assert not OneTimeToken.objects.exists()


@pytest.mark.usefixtures("required")
def test_the_password_is_removed_even_if_the_mailbox_limit_is_reached(settings: Settings) -> None:
    register()
    settings.RATE_LIMITS, settings.RATE_MAIL = True, rate("1/1h")
    for kind in ("registration", "registration", "x"):
        rate_limits.count_email(EMAIL, kind)
    register(OTHER_PASSWORD)
    assert not User.objects.get().has_usable_password()
    assert pending_emails() == []
    post(APIClient(), "auth/email/verify/resend/", email=EMAIL)
    assert pending_emails() == [("verify_email", EMAIL)]


def _made_by_an_administrator() -> None:
    users.create(EMAIL, actor=None, password=PASSWORD, full_name="Ana")


def _invited() -> None:
    users.create(EMAIL, actor=None, full_name="Ana")


def _imported() -> None:
    registered = User(email=EMAIL, full_name="Ana", role=Role.objects.get(name="user"))
    registered.set_password(PASSWORD)
    registered.save()


def _confirmed() -> None:
    register(full_name="Ana")
    verify(receive_token("welcome"))


@pytest.mark.usefixtures("required")
@pytest.mark.parametrize("make", [_made_by_an_administrator, _invited, _imported, _confirmed])
def test_other_accounts_than_unconfirmed_registrations_stay_unchanged(make: Callable[[], None]) -> None:
    make()
    before = {name: rows for name, rows in all_rows().items() if name != "OutboxMail"}
    links = [mail.state for mail in OutboxMail.objects.order_by("pk")]
    register(OTHER_PASSWORD, full_name="Mallory")
    assert {name: rows for name, rows in all_rows().items() if name != "OutboxMail"} == before
    assert pending_emails()[-1] == ("already_registered", EMAIL)
    assert [mail.state for mail in OutboxMail.objects.order_by("pk")][:-1] == links


@pytest.mark.usefixtures("required")
def test_email_and_page_lead_to_a_password(client: Any) -> None:
    register()
    assert "forgot-password" not in delivery.compose_with_token(_claimed("welcome")).text
    register(OTHER_PASSWORD)
    mail = OutboxMail.objects.get(kind="verify_email")
    for language, words in (("en", "choose a password"), ("es", "elige una contraseña")):
        OutboxMail.objects.filter(pk=mail.pk).update(language=language)
        mail.refresh_from_db()
        content = composing.preview(mail)
        assert content
        assert all(words in text and "/forgot-password" in text for text in (content.text, content.html))
    page = client.post("/verify-email", {"token": receive_token("verify_email")}).content.decode()
    assert f'href="{reverse("admin_password_reset")}"' in page
    assert "no password yet" in page


def _claimed(kind: str) -> OutboxMail:
    mail = outbox.claim(OutboxMail.objects.get(kind=kind).pk)
    assert mail
    return mail


def test_the_first_confirmation_ends_every_other_session(db: None) -> None:
    register()
    secret = receive_token("welcome")
    strangers, own = log_in(APIClient()).json(), log_in(APIClient()).json()
    owner = APIClient(headers={"Authorization": f"Bearer {own['access']}"})
    assert verify(secret, owner).status_code == 204
    refused(me(strangers["access"]), 401, "token_not_valid")
    assert me(own["access"]).status_code == 200
    again = log_in(APIClient()).json()
    assert verify(secret).status_code == 204
    assert me(again["access"]).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Bearer of bruno"])
def test_a_confirmation_without_a_session_ends_all_sessions(
    header: str, client_of: Callable[[User], APIClient], bruno: User
) -> None:
    register()
    secret = receive_token("welcome")
    log_in(APIClient())
    client = client_of(bruno) if header.endswith("bruno") else APIClient(headers={"Authorization": header})
    assert verify(secret, client).status_code == 204
    assert not Session.objects.active().filter(user__email=EMAIL).exists()
    assert Session.objects.active().filter(user=bruno).count() == header.endswith("bruno")


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_stranger_s_change_of_address_ends_when_the_owner_confirms(db: None, is_sent: bool) -> None:
    """Without this, the account would move to the stranger's mailbox after its owner began to use it."""
    register()
    secret = receive_token("welcome")
    stranger = APIClient(headers={"Authorization": f"Bearer {log_in(APIClient()).json()['access']}"})
    post(stranger, "auth/email/change/", new_email="mallory@elsewhere.example", current_password=PASSWORD)
    theirs = receive_token("email_change") if is_sent else ""
    assert verify(secret).status_code == 204
    assert OutboxMail.objects.get(kind="email_change").state == ("sent" if is_sent else "cancelled")
    refused(post(APIClient(), "auth/email/change/confirm/", token=theirs or "x" * 43), 400, "invalid_token")
    assert User.objects.get().email == EMAIL


def test_two_registrations_and_a_confirmation_at_once_leave_no_stranger_s_password(
    database: str, settings: Settings
) -> None:
    """Either the confirmation is first and the password stays, or the link has ended and there is no password."""
    settings.EMAIL_VERIFICATION = "required"
    for number in range(ROUNDS):
        email = f"ana{number}@example.com"
        registration.register(email, PASSWORD)
        secret = receive_token("welcome")
        barrier = threading.Barrier(3, timeout=60)
        with ThreadPoolExecutor(3) as pool:
            again = [pool.submit(_at_once, barrier, registration.register, email, OTHER_PASSWORD) for _each in "12"]
            confirmation = pool.submit(_at_once, barrier, email_verification.confirm, secret)
            results = [one.result() for one in again]
        user = User.objects.get(email=email)
        assert results == [None, None]
        is_dead = isinstance(confirmation.result(), InvalidToken)
        assert (user.has_usable_password(), user.email_verified) == (not is_dead, not is_dead)
        assert not user.check_password(OTHER_PASSWORD)
        repeated = AuditEvent.objects.filter(user_id=user.pk, kind="user:registration_repeated").count()
        assert repeated == is_dead


def _at_once(barrier: threading.Barrier, use_case: Callable[..., Any], *arguments: str) -> Any:
    barrier.wait()
    try:
        use_case(*arguments)
        return None
    except InvalidToken as error:
        return error
    finally:
        connections.close_all()
