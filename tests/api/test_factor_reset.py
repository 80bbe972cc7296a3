"""An administrator resets the second factors of another user."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import enrolment, factor_changes
from accounts.errors import InvalidToken
from accounts.jwt import access_tokens
from accounts.mfa import pending_logins
from accounts.models import AuditEvent, Passkey, PendingLogin, RecoveryCode, Role, Session, TotpSecret, User
from accounts.one_time_tokens import Purpose, find, issue
from tests.api.requests import API, events, factors_of, log_in, post
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from tests.second_factors import Phone, enrol, passkey, signed_in
from usermanager.environment import rate

pytestmark = pytest.mark.django_db
Clients = Callable[[User], APIClient]
ME = f"{API}users/me/"


def test_everything_of_the_second_factor_ends(
    ana: User, roots: APIClient, root: User, stranger: APIClient, heard: list[dict[str, Any]]
) -> None:
    enrol(ana)
    passkey(ana)
    theirs = signed_in(ana)
    enrolment.begin_totp(enrolment.in_session(Session.objects.filter(user=ana).latest("id")))
    pending = refused(log_in(stranger), 403, "second_factor_required")["mfa_token"]
    answer = roots.delete(factors_of(ana), {"reason": "Lost phone"}, format="json")
    assert answer.status_code == 204
    refused(theirs.get(ME), 401, "token_not_valid")
    ana.refresh_from_db()
    assert not ana.mfa_enabled
    assert ana.mfa_reset_at is not None
    for model in (TotpSecret, Passkey, RecoveryCode, PendingLogin):
        assert not model._default_manager.exists()
    with pytest.raises(InvalidToken):
        pending_logins.find(pending, PendingLogin.Purpose.LOGIN)
    event = AuditEvent.objects.get(kind="factor:reset")
    assert (event.actor_id, event.user_id) == (root.pk, ana.pk)
    assert event.data == {"reason": "Lost phone", "enrol": True}
    assert [(one["user"], one["must_enrol"]) for one in heard] == [(ana, True)]
    assert refused(log_in(stranger), 403, "enrolment_required")["needs_mail"] is True


def test_without_enrolment_the_password_is_enough(
    ana: User, phone: Phone, roots: APIClient, heard: list[dict[str, Any]]
) -> None:
    assert roots.delete(factors_of(ana), format="json").status_code == 204
    assert roots.delete(factors_of(ana), {"enrol": False}, format="json").status_code == 204
    assert [one["must_enrol"] for one in heard] == [True, False]
    signed = log_in(APIClient())
    assert access_tokens.SessionAccessToken(signed.json()["access"])["acr"] == "aal1"


def test_the_link_the_password_and_a_new_app_sign_in(
    ana: User, phone: Phone, roots: APIClient, stranger: APIClient
) -> None:
    roots.delete(factors_of(ana), format="json")
    secret = issue(ana, Purpose.SECOND_FACTOR, request=ana.pk, email=ana.email)
    token = log_in(stranger).json()["mfa_token"]
    refused(post(stranger, "auth/totp/", mfa_token=token), 400, "invalid_token")
    begun = post(stranger, "auth/totp/", mfa_token=token, token=secret).json()
    code = Phone(begun["secret"]).code()
    done = post(stranger, "auth/totp/confirm/", id=begun["id"], code=code, mfa_token=token)
    assert len(done.json()["recovery_codes"]) == 10
    refused(post(stranger, "auth/totp/", mfa_token=token, token=secret), 400, "invalid_token")
    refused(log_in(stranger), 403, "second_factor_required")


def test_older_links_to_sign_in_end(ana: User, roots: APIClient) -> None:
    purposes = [Purpose.PASSWORD_RESET, Purpose.EMAIL_CHANGE, Purpose.SECOND_FACTOR, Purpose.VERIFY_EMAIL]
    links = {purpose: issue(ana, purpose, request=ana.pk, email=ana.email) for purpose in purposes}
    assert roots.delete(factors_of(ana), format="json").status_code == 204
    for purpose in purposes[:3]:
        with pytest.raises(InvalidToken):
            find(links[purpose], purpose)
    assert find(links[Purpose.VERIFY_EMAIL], Purpose.VERIFY_EMAIL)


def test_permission_and_rank_are_needed(
    ana: User, carla: User, root: User, client_of: Clients, person: Callable[..., User]
) -> None:
    Role.objects.create(name="helpdesk", permissions=["mfa.reset", "users.view"])
    hugo, bruno = person("hugo", role="helpdesk"), person("bruno")
    refused(client_of(carla).delete(factors_of(ana)), 403, "permission_denied")
    refused(client_of(hugo).delete(factors_of(root)), 403, "permission_denied")
    refused(client_of(bruno).delete(factors_of(ana)), 404, "not_found")
    assert "factor:reset" not in events()
    assert client_of(hugo).delete(factors_of(ana)).status_code == 204


def test_ones_own_account_is_a_conflict(root: User, roots: APIClient) -> None:
    for user_id in ("me", root.pk):
        refused(roots.delete(f"{API}users/{user_id}/factors/"), 409, "conflict")
    root.refresh_from_db()
    assert root.mfa_reset_at is None


@pytest.mark.parametrize("body", [{"reason": 1}, {"reason": "x" * 251}, {"reason": "a\nb"}, {"enrol": "yes"}])
def test_an_invalid_body_changes_nothing(ana: User, roots: APIClient, body: dict[str, Any]) -> None:
    refused(roots.delete(factors_of(ana), body, format="json"), 400, "validation_error")
    assert "factor:reset" not in events()


def test_an_operator_may_reset_an_administrator(root: User) -> None:
    enrol(root)
    factor_changes.reset(root, actor=None, enrol=False)
    assert AuditEvent.objects.get(kind="factor:reset").actor_id is None
    assert log_in(APIClient(), root.email).status_code == 200


def test_wrong_codes_before_it_do_not_count_afterwards(
    ana: User, phone: Phone, settings: Settings, roots: APIClient
) -> None:
    settings.RATE_LIMITS, settings.RATE_SECOND_FACTOR = True, rate("2/15m")
    settings.RATE_SECOND_FACTOR_ROW = rate("2/365d")

    def try_a_code() -> Any:
        token = refused(log_in(APIClient()), 403, "second_factor_required")["mfa_token"]
        return post(APIClient(), "auth/login/second-factor/", mfa_token=token, code="1")

    assert [try_a_code().status_code for _number in range(3)] == [401, 401, 429]
    roots.delete(factors_of(ana), {"enrol": False}, format="json")
    enrol(ana)
    assert try_a_code().status_code == 401


@pytest.mark.parametrize("change", ["suspended", "deleted", "new password", "reset"])
def test_a_login_that_waits_for_the_second_factor_ends(
    ana: User, phone: Phone, roots: APIClient, stranger: APIClient, change: str
) -> None:
    path = f"{API}users/{ana.pk}/"
    token = refused(log_in(stranger), 403, "second_factor_required")["mfa_token"]
    if change == "suspended":
        roots.post(f"{path}suspend/")
    elif change == "deleted":
        assert roots.delete(path).status_code == 204
    elif change == "new password":
        client = signed_in(ana)
        body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        assert post(client, "auth/password/change/", **body).status_code == 204
    else:
        assert roots.delete(f"{path}factors/").status_code == 204
    before = Session.objects.active().count()
    refused(post(stranger, "auth/login/second-factor/", mfa_token=token, code=phone.code()), 400, "invalid_token")
    assert Session.objects.active().count() == before
