"""What happens to logins, tokens and enrolments when the user, their role or their factors change meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import enrolment, factor_changes, login, sessions, users
from accounts.errors import InvalidCredentials, InvalidToken, TokenNotValid
from accounts.jwt import access_tokens
from accounts.mfa import pending_logins, proofs, totp
from accounts.models import AuditEvent, PendingLogin, Role, Session, TotpSecret, User
from notifications.models import OutboxMail
from tests.conftest import PASSWORD, refused
from tests.second_factors import Phone, enrol

pytestmark = pytest.mark.django_db
AUTH = "/api/v1/auth/"
Clients = Callable[[User], APIClient]


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(f"{AUTH}{path}", body, format="json")


def log_in(client: APIClient, user: User) -> Any:
    return post(client, "login/", email=user.email, password=PASSWORD)


def require_factor(user: User) -> None:
    Role.objects.filter(pk=user.role_id).update(mfa="required")
    user.refresh_from_db()


def test_a_token_from_before_the_factor_is_stale(client_of: Clients, ana: User) -> None:
    """A thief who has it would otherwise replace the new authenticator app with their own."""
    old = client_of(ana)
    begun = post(old, "totp/").json()
    code = Phone(begun["secret"]).code()
    assert post(old, "totp/confirm/", id=begun["id"], code=code).status_code == 200
    assert old.get("/api/v1/users/me/").status_code == 200
    refused(post(old, "totp/"), 401, "fresh_login_required")
    refused(post(old, "recovery-codes/"), 401, "fresh_login_required")


def test_a_reset_counts_during_the_grace_period_too(stranger: APIClient, ana: User, root: User) -> None:
    require_factor(ana)
    assert log_in(stranger, ana).status_code == 200
    factor_changes.reset(ana, actor=root)
    assert refused(log_in(stranger, ana), 403, "enrolment_required")["needs_mail"] is True


def test_a_reset_without_enrolment_begins_a_new_grace_period(stranger: APIClient, ana: User, root: User) -> None:
    require_factor(ana)
    User.objects.filter(pk=ana.pk).update(mfa_required_since=timezone.now() - timedelta(days=100))
    refused(log_in(stranger, ana), 403, "enrolment_required")
    factor_changes.reset(ana, actor=root, enrol=False)
    assert log_in(stranger, ana).status_code == 200


def test_another_role_begins_a_new_grace_period(ana: User, root: User, role: Callable[..., Role]) -> None:
    User.objects.filter(pk=ana.pk).update(mfa_required_since=timezone.now())
    users.set_role(ana, role("support"), actor=root)
    ana.refresh_from_db()
    assert ana.mfa_required_since is None


def test_an_enrolment_from_before_a_reset_needs_the_link(ana: User) -> None:
    require_factor(ana)
    session, _refresh = login.open_session(ana, proofs.PASSWORD)
    begun = enrolment.begin_totp(enrolment.in_session(session))
    User.objects.filter(pk=ana.pk).update(mfa_reset_at=timezone.now())
    ana.refresh_from_db()
    pending = enrolment.in_pending_login(pending_logins.begin(ana, PendingLogin.Purpose.ENROLMENT))
    with pytest.raises(InvalidToken) as error:
        enrolment.confirm_totp(pending, begun.id, Phone(begun.secret).code())
    assert error.value.detail == pending_logins.ENDED
    assert not TotpSecret.objects.filter(confirmed_at__isnull=False).exists()


def test_a_pending_login_that_lost_a_race_says_start_again(ana: User) -> None:
    """The error is about the step: the client has used no link."""
    enrolling = enrolment.in_pending_login(pending_logins.begin(ana, PendingLogin.Purpose.ENROLMENT))
    User.objects.filter(pk=ana.pk).update(mfa_enabled=True)
    with pytest.raises(InvalidToken) as error:
        enrolment.lock(enrolling)
    assert error.value.detail == pending_logins.ENDED
    assert PendingLogin.objects.get().used_at is None


def test_a_confirmation_that_lost_a_race_says_start_again(ana: User) -> None:
    row, secret = totp.create(ana, name="Phone")
    TotpSecret.objects.all().delete()
    with pytest.raises(InvalidToken) as error:
        totp.confirm(row, Phone(secret).code())
    assert error.value.detail == pending_logins.ENDED
    assert not TotpSecret.objects.exists()


@pytest.mark.parametrize("verified", [False, True])
def test_a_change_of_address_ends_pending_logins(stranger: APIClient, ana: User, root: User, verified: bool) -> None:
    phone = enrol(ana)
    token = refused(log_in(stranger, ana), 403, "second_factor_required")["mfa_token"]
    users.update(ana, actor=root, email="other@example.com", email_verified=verified)
    refused(post(stranger, "login/second-factor/", mfa_token=token, code=phone.code()), 400, "invalid_token")


def test_an_enrolment_is_not_confirmed_at_an_unconfirmed_address(ana: User) -> None:
    session, _refresh = login.open_session(ana, proofs.PASSWORD)
    enrolling = enrolment.in_session(session)
    begun = enrolment.begin_totp(enrolling)
    User.objects.filter(pk=ana.pk).update(email_verified=False)
    with pytest.raises(Exception, match="email_not_verified"):
        enrolment.confirm_totp(enrolling, begun.id, Phone(begun.secret).code())


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!other"}, None])
def test_no_pending_login_begins_for_a_user_who_has_changed(ana: User, change: dict[str, Any] | None) -> None:
    if change is None:
        User.objects.filter(pk=ana.pk).delete()
    else:
        User.objects.filter(pk=ana.pk).update(**change)
    with pytest.raises(InvalidCredentials):
        pending_logins.begin(ana, PendingLogin.Purpose.LOGIN)


def test_a_session_without_the_factor_is_no_session(ana: User) -> None:
    """A host that still runs an older version may open one while hosts are upgraded."""
    session, refresh = login.open_session(ana, proofs.PASSWORD)
    access = access_tokens.issue(session)
    User.objects.filter(pk=ana.pk).update(mfa_enabled=True)
    with pytest.raises(TokenNotValid):
        access_tokens.find_session(access)
    with pytest.raises(TokenNotValid):
        sessions.rotate(refresh)


def test_enrolments_are_limited(client_of: Clients, ana: User, settings: Any) -> None:
    settings.RATE_LIMITS, settings.RATE_WRITE = True, settings.RATE_WRITE._replace(limit=2)
    client = client_of(ana)
    assert [post(client, "totp/").status_code for _time in range(3)] == [201, 201, 429]


def test_a_step_up_without_a_factor_counts_nothing(client_of: Clients, ana: User, settings: Any) -> None:
    settings.RATE_LIMITS = True
    client = client_of(ana)
    for _attempt in range(6):
        refused(post(client, "step-up/", code="123456"), 401, "invalid_second_factor")
    assert not AuditEvent.objects.filter(kind="login:failed").exists()


@pytest.mark.parametrize("text", ["1" * 5000, "\0", "123456\n", "\t123456", "\N{NO-BREAK SPACE}123456"])
def test_an_odd_text_is_a_wrong_code(stranger: APIClient, ana: User, text: str) -> None:
    enrol(ana)
    for proof in ("code", "recovery_code"):
        token = refused(log_in(stranger, ana), 403, "second_factor_required")["mfa_token"]
        answer = post(stranger, "login/second-factor/", **{"mfa_token": token, proof: text})
        refused(answer, 401, "invalid_second_factor")


@pytest.mark.parametrize("length", [0, 5, 20, 40])
def test_a_truncated_secret_is_a_wrong_code(stranger: APIClient, ana: User, length: int) -> None:
    phone = enrol(ana)
    row = TotpSecret.objects.get()
    TotpSecret.objects.update(secret=bytes(row.secret)[:length])
    token = refused(log_in(stranger, ana), 403, "second_factor_required")["mfa_token"]
    answer = post(stranger, "login/second-factor/", mfa_token=token, code=phone.code())
    refused(answer, 401, "invalid_second_factor")


def test_tokens_of_an_overtaken_session_are_not_valid_elsewhere(stranger: APIClient, ana: User, settings: Any) -> None:
    session, refresh = login.open_session(ana, proofs.PASSWORD)
    settings.MFA_GRACE = timedelta()
    require_factor(ana)
    for token in (access_tokens.issue(session), refresh):
        refused(post(stranger, "token/verify/", token=token), 403, "enrolment_required")
    assert Session.objects.get().is_active


def test_two_proofs_of_one_session_are_both_kept(ana: User) -> None:
    session, _refresh = login.open_session(ana, proofs.PASSWORD)
    other = Session.objects.get(pk=session.pk)
    sessions.record_step_up(session, proofs.Proof(("otp", "mfa")))
    sessions.record_step_up(other, proofs.Proof(("recovery", "mfa")))
    assert Session.objects.get().methods == ["pwd", "otp", "mfa", "recovery"]


def test_an_address_that_must_be_confirmed_again_ends_the_way_in(stranger: APIClient, ana: User, settings: Any) -> None:
    phone = enrol(ana)
    token = refused(log_in(stranger, ana), 403, "second_factor_required")["mfa_token"]
    settings.EMAIL_VERIFICATION = "required"
    User.objects.filter(pk=ana.pk).update(email_verified=False)
    refused(post(stranger, "login/second-factor/", mfa_token=token, code=phone.code()), 403, "email_not_verified")
    assert not Session.objects.exists()


def test_only_a_login_with_the_right_password_sends_the_warning(stranger: APIClient, ana: User, settings: Any) -> None:
    settings.RATE_LIMITS = True
    phone = enrol(ana)
    token = refused(log_in(stranger, ana), 403, "second_factor_required")["mfa_token"]
    access = post(stranger, "login/second-factor/", mfa_token=token, code=phone.code()).json()["access"]
    signed_in = APIClient()
    signed_in.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    refused(post(signed_in, "step-up/", code="x"), 401, "invalid_second_factor")
    assert not OutboxMail.objects.filter(kind="second_factor_failed").exists()
    token = refused(log_in(stranger, ana), 403, "second_factor_required")["mfa_token"]
    for _attempt in range(2):
        refused(post(stranger, "login/second-factor/", mfa_token=token, code="x"), 401, "invalid_second_factor")
    assert OutboxMail.objects.filter(kind="second_factor_failed").count() == 1
    assert not AuditEvent.objects.filter(kind="limit:reached").exists()
