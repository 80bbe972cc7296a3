"""A user of the panel sees and adds their own second factors, and confirms that it is them."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import login
from accounts.mfa.proofs import Proof
from accounts.models import Role, Session, TotpSecret, User
from tests.admin.second_factors import (
    CONFIRM,
    FACTORS,
    HOME,
    PASSWORDS,
    ROLES,
    Panel,
    key_in,
    make_stale,
    sign_in,
    text,
)
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import Phone, enrol

pytestmark = pytest.mark.django_db


def begin(client: Client) -> Phone:
    answer = client.post(FACTORS, {"operation": "begin"}, follow=True)
    return Phone(key_in(text(answer)))


def test_an_authenticator_app_is_added(carla: User, panel_of: Panel) -> None:
    client, elsewhere = panel_of(carla), panel_of(carla)
    assert "Set up an authenticator app" in text(client.get(FACTORS))
    phone = begin(client)
    answer = client.post(FACTORS, {"operation": "confirm", "code": phone.code()})
    assert text(answer).count("<li><code>") == 10
    assert client.get(HOME).status_code == 200
    assert elsewhere.get(HOME).status_code == 302
    assert Session.objects.active().get().acr == "aal2"
    page = text(client.get(FACTORS))
    assert 'value="Authenticator app"' in page
    assert "10 recovery codes left" in page
    assert "<li><code>" not in page


def test_the_key_stands_in_groups_of_four_and_the_qr_code_has_no_style(carla: User, panel_of: Panel) -> None:
    page = text(panel_of(carla).post(FACTORS, {"operation": "begin"}, follow=True))
    groups = page.partition('class="key">')[2].partition("<")[0].split()
    assert [len(group) for group in groups] == [4] * 8
    svg = page.partition('class="qr"')[2].partition("</svg>")[0].partition("<svg")[2]
    assert 'd="M' in svg
    assert "style" not in svg
    assert "class" not in svg


def test_a_wrong_code_adds_nothing(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    begin(client)
    assert "was not accepted" in text(client.post(FACTORS, {"operation": "confirm", "code": "000000"}))
    assert "This field is required." in text(client.post(FACTORS, {"operation": "confirm", "code": ""}))
    carla.refresh_from_db()
    assert not carla.mfa_enabled


def test_an_expired_enrolment_begins_again(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    phone = begin(client)
    TotpSecret.objects.update(expires_at=timezone.now())
    answer = client.post(FACTORS, {"operation": "confirm", "code": phone.code()}, follow=True)
    assert "Please start again." in text(answer)
    assert not key_in(text(answer))


def test_another_app_replaces_the_first_without_new_codes(carla: User) -> None:
    phone = enrol(carla)
    client = sign_in(carla, phone)
    answer = client.post(FACTORS, {"operation": "confirm", "code": begin(client).code()}, follow=True)
    assert "The second factor was added." in text(answer)
    assert TotpSecret.objects.count() == 1


def test_without_a_fresh_login_nothing_begins(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    make_stale()
    answer = client.post(FACTORS, {"operation": "begin"}, follow=True)
    assert answer.redirect_chain[-1][0].startswith(f"{CONFIRM}?next=%2Fadmin%2Fsecond-factor")
    assert "send the action again" in text(answer)
    assert not TotpSecret.objects.exists()


def test_the_key_is_not_shown_after_the_login_has_become_old(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    begin(client)
    assert key_in(text(client.get(FACTORS)))
    make_stale()
    assert not key_in(text(client.get(FACTORS)))


@pytest.mark.parametrize("operation", ["", "nonsense"])
def test_an_unknown_action_is_rejected(carla: User, panel_of: Panel, operation: str) -> None:
    assert panel_of(carla).post(FACTORS, {"operation": operation}).status_code == 400


def test_a_role_without_second_factors_adds_none(carla: User, panel_of: Panel) -> None:
    Role.objects.filter(pk=carla.role_id).update(mfa="off")
    answer = panel_of(carla).post(FACTORS, {"operation": "begin"}, follow=True)
    assert "Your role allows no second factors." in text(answer)
    assert not TotpSecret.objects.exists()


def test_strangers_and_users_without_access_are_led_to_the_login(ana: User, panel_of: Panel) -> None:
    for client in (Client(), panel_of(ana)):
        assert client.get(FACTORS)["Location"].startswith("/admin/login/")
        assert client.post(FACTORS, {"operation": "begin"})["Location"].startswith("/admin/login/")
    assert not TotpSecret.objects.exists()


def test_an_overdue_user_sees_no_other_page(carla: User, panel_of: Panel, settings: Settings) -> None:
    client = panel_of(carla)
    Role.objects.filter(pk=carla.role_id).update(mfa="required")
    assert client.get(HOME).status_code == 200  # the grace period
    settings.MFA_GRACE = timedelta()
    for address in (HOME, PASSWORDS, "/admin/accounts/user/", f"/admin/accounts/user/{carla.pk}/change/"):
        assert client.get(address)["Location"] == FACTORS
    client.post(f"/admin/accounts/user/{carla.pk}/do/suspend/", {"reason": "x"})
    carla.refresh_from_db()
    assert carla.is_active
    page = text(client.get(FACTORS))
    assert "Your account needs a second factor." in page
    assert client.get(CONFIRM).status_code == 200
    client.post(FACTORS, {"operation": "confirm", "code": Phone(key_in(page)).code()})
    assert client.get(HOME).status_code == 200
    assert client.post("/admin/logout/").status_code == 200


def test_an_overdue_user_can_log_out(carla: User, panel_of: Panel, settings: Settings) -> None:
    client = panel_of(carla)
    settings.MFA_GRACE = timedelta()
    Role.objects.filter(pk=carla.role_id).update(mfa="required")
    assert client.post("/admin/logout/").status_code == 200
    assert not Session.objects.active().exists()


def test_a_code_confirms_that_it_is_the_user(carla: User) -> None:
    phone = enrol(carla)
    client = sign_in(carla, phone)
    make_stale()
    assert "was not accepted" in text(client.post(CONFIRM, {"code": "000000"}))
    answer = client.post(f"{CONFIRM}?next={ROLES}", {"code": phone.recovery_codes[0]})
    assert answer["Location"] == ROLES
    assert Session.objects.get().stepped_up_at
    assert 'autocomplete="one-time-code"' in text(client.get(CONFIRM))


def test_a_password_confirms_that_it_is_a_user_without_a_factor(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    make_stale()
    assert "is wrong" in text(client.post(CONFIRM, {"password": OTHER_PASSWORD}))
    assert not Session.objects.get().stepped_up_at
    assert client.post(CONFIRM, {"password": PASSWORD})["Location"] == HOME
    assert Session.objects.get().stepped_up_at


def test_confirming_leads_to_no_other_site(carla: User, panel_of: Panel) -> None:
    answer = panel_of(carla).post(f"{CONFIRM}?next=https://evil.example.com/", {"password": PASSWORD})
    assert answer["Location"] == HOME


def test_attempts_to_confirm_are_limited(carla: User, settings: Settings) -> None:
    client = sign_in(carla, enrol(carla))
    settings.RATE_LIMITS = True
    for _time in range(5):
        assert client.post(CONFIRM, {"code": "000000"}).status_code == 200
    answer = client.post(CONFIRM, {"code": "000000"})
    assert answer.status_code == 429
    assert int(answer["Retry-After"])


def test_changing_the_password_needs_a_fresh_login_of_a_user_with_a_factor(carla: User) -> None:
    phone = enrol(carla)
    client = sign_in(carla, phone)
    make_stale()
    form = {"old_password": PASSWORD, "new_password1": OTHER_PASSWORD, "new_password2": OTHER_PASSWORD}
    assert client.get(PASSWORDS)["Location"] == f"{CONFIRM}?next=%2Fadmin%2Fpassword_change%2F"
    assert "send the action again" in text(client.post(PASSWORDS, form, follow=True))
    carla.refresh_from_db()
    assert carla.check_password(PASSWORD)
    assert client.post(CONFIRM, {"code": phone.recovery_codes[0], "next": PASSWORDS})["Location"] == PASSWORDS
    assert client.post(PASSWORDS, form)["Location"] == "/admin/password_change/done/"


def test_changing_the_password_without_a_factor_needs_none(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    make_stale()
    form = {"old_password": PASSWORD, "new_password1": OTHER_PASSWORD, "new_password2": OTHER_PASSWORD}
    assert client.post(PASSWORDS, form)["Location"] == "/admin/password_change/done/"


def test_the_page_of_a_user_shows_their_factors_and_the_level_of_sessions(
    root: User, ana: User, panel_of: Panel
) -> None:
    page = text(panel_of(root).get(f"/admin/accounts/user/{ana.pk}/change/"))
    assert "No second factor." in page
    phone = enrol(ana)
    session, _refresh = login.open_session(ana, Proof(("pwd", "otp", "mfa")))
    page = text(panel_of(root).get(f"/admin/accounts/user/{ana.pk}/change/"))
    section = page.partition('aria-labelledby="factors"')[2].partition("</section>")[0]
    assert "Authenticator app" in section
    assert "10 codes left" in section
    assert phone.recovery_codes[0] not in page
    assert "aal2" in page.partition('aria-labelledby="sessions"')[2]
    assert "aal2 (pwd, otp, mfa)" in text(panel_of(root).get(f"/admin/accounts/session/{session.pk}/change/"))


def test_the_list_of_users_filters_by_second_factor(carla: User, ana: User, panel_of: Panel) -> None:
    enrol(ana)
    page = text(panel_of(carla).get("/admin/accounts/user/?mfa_enabled__exact=1"))
    assert ana.email in page
    assert page.count('class="action-select"') == 1
