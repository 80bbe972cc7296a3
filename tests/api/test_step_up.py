"""A signed-in user authenticates again for sensitive actions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import freshness, login, sessions
from accounts.errors import FreshLoginRequired, TokenNotValid
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import AuditEvent, Session, User
from tests.conftest import PASSWORD, refused
from tests.second_factors import enrol

pytestmark = pytest.mark.django_db
STEP_UP = "/api/v1/auth/step-up/"
Clients = Callable[[User], APIClient]


def post(client: APIClient, **body: Any) -> Any:
    return client.post(STEP_UP, body, format="json")


def hours_old(user: User, proof: proofs.Proof = proofs.PASSWORD) -> tuple[APIClient, str, str]:
    """Returns a client whose login is an hour old, its access token and its refresh token."""
    session, refresh = login.open_session(user, proof)
    session.created_at = timezone.now() - timedelta(hours=1)
    session.save()
    access = access_tokens.issue(session)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client, access, refresh


def test_the_password_is_enough_without_a_factor(ana: User) -> None:
    client, old_access, old_refresh = hours_old(ana)
    answer = post(client, password=PASSWORD)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh", "token_type", "expires_in"}
    fresh = access_tokens.find_session(answer.json()["access"])
    assert freshness.is_fresh(fresh)
    assert fresh.acr == "aal1"
    stale = access_tokens.find_session(old_access)  # an older token of the same session stays stale
    with pytest.raises(FreshLoginRequired):
        freshness.require(stale)
    assert stale.pk == fresh.pk
    event = AuditEvent.objects.get(kind="session:stepped_up")
    assert event.data == {"session": str(fresh.pk)}
    with pytest.raises(TokenNotValid):
        sessions.rotate(old_refresh)
    assert not Session.objects.get().is_active  # its reuse ended the session


def test_the_new_refresh_token_works(ana: User) -> None:
    client, _access, _refresh = hours_old(ana)
    answer = post(client, password=PASSWORD).json()
    assert sessions.rotate(answer["refresh"])[0].is_active


def test_a_wrong_password_is_rejected(ana: User) -> None:
    client, _access, refresh = hours_old(ana)
    refused(post(client, password="wrong"), 401, "invalid_credentials")
    assert sessions.rotate(refresh)
    assert Session.objects.get().stepped_up_at is None


def test_a_user_with_a_factor_needs_it(ana: User) -> None:
    phone = enrol(ana)
    client, _access, _refresh = hours_old(ana, proofs.Proof(("pwd", "otp", "mfa")))
    refused(post(client, password=PASSWORD), 401, "invalid_second_factor")
    refused(post(client, code="x"), 401, "invalid_second_factor")
    code = phone.code()
    answer = post(client, code=code)
    assert set(access_tokens.find_session(answer.json()["access"]).methods) == {"pwd", "otp", "mfa"}
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['access']}")
    refused(post(client, code=code), 401, "invalid_second_factor")


def test_without_a_factor_no_other_proof_is_accepted(ana: User) -> None:
    client, _access, _refresh = hours_old(ana)
    for proof in ({"code": "123456"}, {"recovery_code": "x"}):
        refused(post(client, **proof), 401, "invalid_second_factor")


@pytest.mark.parametrize("proof", [{}, {"password": PASSWORD, "code": "123456"}])
def test_one_proof_is_needed(ana: User, proof: dict[str, str]) -> None:
    client, _access, _refresh = hours_old(ana)
    refused(post(client, **proof), 400, "validation_error")


def test_a_session_is_needed(stranger: APIClient) -> None:
    refused(post(stranger, password=PASSWORD), 401, "not_authenticated")


def test_a_token_without_the_claim_is_stale(ana: User) -> None:
    session, _refresh = login.open_session(ana, proofs.PASSWORD)
    session.token_auth_time = 0
    assert not freshness.is_fresh(session)
    session.token_auth_time = None
    assert freshness.is_fresh(session)


@pytest.mark.usefixtures("ana")
def test_attempts_count_with_those_of_logins(settings: Any, ana: User) -> None:
    settings.RATE_LIMITS = True
    enrol(ana)
    client, _access, _refresh = hours_old(ana, proofs.Proof(("pwd", "otp", "mfa")))
    for _attempt in range(5):
        refused(post(client, code="x"), 401, "invalid_second_factor")
    refused(post(client, code="x"), 429, "throttled")
