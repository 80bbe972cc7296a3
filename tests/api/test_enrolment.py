"""A user adds an authenticator app: in a session with a fresh login, or before a login that needs it."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import enrolment, login, sessions
from accounts.errors import InvalidToken, TokenNotValid
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, Session, TotpSecret, User
from accounts.one_time_tokens import Purpose, issue
from tests.conftest import PASSWORD, refused
from tests.second_factors import enrol

pytestmark = pytest.mark.django_db
LOGIN = "/api/v1/auth/login/"
SECOND = "/api/v1/auth/login/second-factor/"
BEGIN = "/api/v1/auth/totp/"
CONFIRM = "/api/v1/auth/totp/confirm/"
Clients = Callable[[User], APIClient]


def code_of(begun: dict[str, Any], *, steps_later: int = 0) -> str:
    """Returns what an authenticator app with this secret shows."""
    return pyotp.TOTP(begun["secret"]).generate_otp(int(time.time()) // 30 + steps_later)


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(path, body, format="json")


def test_a_user_adds_an_app(client_of: Clients, ana: User) -> None:
    client = client_of(ana)
    begun = post(client, BEGIN)
    assert begun.status_code == 201
    body = begun.json()
    assert re.fullmatch("[A-Z2-7]{32}", body["secret"])
    assert (
        body["otpauth_uri"]
        == f"otpauth://totp/UserManager:ana%40example.com?secret={body['secret']}&issuer=UserManager"
    )
    assert body["qr_code"].startswith("data:image/svg+xml")
    assert body["expires_in"] == 300
    assert client.get("/api/v1/users/me/").json()["mfa_enabled"] is False

    confirmed = post(client, CONFIRM, id=body["id"], code=code_of(body))
    assert confirmed.status_code == 200
    answer = confirmed.json()
    assert answer["user"]["mfa_enabled"] is True
    assert answer["factor"] | {"created_at": 0, "last_used_at": 0} == {
        **{"id": body["id"], "type": "totp", "name": "Authenticator app"},
        **{"created_at": 0, "last_used_at": 0, "is_synced": False},
    }
    assert len(set(answer["recovery_codes"])) == 10
    assert all(
        re.fullmatch("([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}", code) for code in answer["recovery_codes"]
    )
    claims = access_tokens.SessionAccessToken(answer["access"])
    assert claims["acr"] == "aal2"
    assert set(claims["amr"]) == {"pwd", "otp", "mfa"}
    event = AuditEvent.objects.get(kind="factor:added")
    assert (event.actor_id, event.data) == (ana.pk, {"type": "totp", "factor": body["id"]})


def test_the_stored_secret_is_encrypted(client_of: Clients, ana: User) -> None:
    secret = post(client_of(ana), BEGIN).json()["secret"]
    stored = bytes(TotpSecret.objects.get().secret)
    assert secret.encode() not in stored
    assert pyotp.TOTP(secret).byte_secret() not in stored


def test_other_sessions_end_and_older_refresh_tokens_of_this_one(client_of: Clients, ana: User) -> None:
    client, other = client_of(ana), client_of(ana)
    session = Session.objects.earliest("id")
    old = sessions._refresh_token(session.pk, 0)
    begun = post(client, BEGIN).json()
    answer = post(client, CONFIRM, id=begun["id"], code=code_of(begun)).json()
    refused(other.get("/api/v1/users/me/"), 401, "token_not_valid")
    assert access_tokens.find_session(answer["access"]).pk == session.pk
    assert sessions.rotate(answer["refresh"])[0].pk == session.pk
    with pytest.raises(TokenNotValid):
        sessions.rotate(old)


def test_the_code_that_confirmed_signs_nobody_in(client_of: Clients, stranger: APIClient, ana: User) -> None:
    client = client_of(ana)
    begun = post(client, BEGIN).json()
    code = code_of(begun)
    post(client, CONFIRM, id=begun["id"], code=code)
    token = refused(post(stranger, LOGIN, email=ana.email, password=PASSWORD), 403, "second_factor_required")[
        "mfa_token"
    ]
    refused(post(stranger, SECOND, mfa_token=token, code=code), 401, "invalid_second_factor")


def test_a_wrong_code_leaves_the_enrolment(client_of: Clients, ana: User) -> None:
    client = client_of(ana)
    begun = post(client, BEGIN).json()
    refused(post(client, CONFIRM, id=begun["id"], code="000000"), 401, "invalid_second_factor")
    ana.refresh_from_db()
    assert not ana.mfa_enabled
    assert post(client, CONFIRM, id=begun["id"], code=code_of(begun)).status_code == 200


@pytest.mark.parametrize("case", ["unknown", "expired", "of another user", "confirmed"])
def test_only_an_open_enrolment_of_oneself_is_confirmed(client_of: Clients, ana: User, bruno: User, case: str) -> None:
    client = client_of(ana)
    begun = post(client, BEGIN).json()
    factor = begun["id"]
    if case == "unknown":
        factor = str(bruno.pk)
    elif case == "expired":
        TotpSecret.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif case == "of another user":
        client = client_of(bruno)
    else:
        client.credentials(
            HTTP_AUTHORIZATION="Bearer " + post(client, CONFIRM, id=factor, code=code_of(begun)).json()["access"]
        )
    refused(post(client, CONFIRM, id=factor, code=code_of(begun, steps_later=1)), 400, "invalid_token")


def test_an_unconfirmed_secret_does_not_replace_the_old_one(client_of: Clients, stranger: APIClient, ana: User) -> None:
    phone = enrol(ana)
    token = refused(post(stranger, LOGIN, email=ana.email, password=PASSWORD), 403, "second_factor_required")[
        "mfa_token"
    ]
    signed_in = post(stranger, SECOND, mfa_token=token, recovery_code=phone.recovery_codes[0]).json()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in['access']}")
    begun = post(client, BEGIN).json()

    def sign_in(code: str) -> Any:
        answer = post(stranger, LOGIN, email=ana.email, password=PASSWORD)
        return post(stranger, SECOND, mfa_token=answer.json()["mfa_token"], code=code)

    refused(sign_in(code_of(begun)), 401, "invalid_second_factor")
    assert sign_in(phone.code()).status_code == 200
    answer = post(client, CONFIRM, id=begun["id"], code=code_of(begun)).json()
    assert "recovery_codes" not in answer
    refused(sign_in(phone.code()), 401, "invalid_second_factor")
    assert sign_in(code_of(begun, steps_later=1)).status_code == 200


def test_an_unconfirmed_address_cannot_enrol(client_of: Clients, person: Callable[..., User]) -> None:
    dora = person("dora", email_verified=False)
    refused(post(client_of(dora), BEGIN), 403, "email_not_verified")
    dora.email_verified = True
    dora.save()
    assert post(client_of(dora), BEGIN).status_code == 201


def test_a_stale_login_cannot_enrol(client_of: Clients, ana: User, settings: Any) -> None:
    client = client_of(ana)
    settings.FRESH_LOGIN_LIFETIME = timedelta()
    for path, body in ((BEGIN, {}), (CONFIRM, {"id": "nonsense"})):
        answer = post(client, path, **body)
        assert refused(answer, 401, "fresh_login_required")["methods"] == ["password"]
        assert answer["WWW-Authenticate"] == 'Bearer error="insufficient_user_authentication", max_age="0"'


def test_without_a_token_nobody_is_asked(stranger: APIClient) -> None:
    refused(post(stranger, BEGIN), 401, "not_authenticated")
    refused(post(stranger, BEGIN, mfa_token="x"), 400, "invalid_token")


def test_a_role_may_allow_no_factors(client_of: Clients, ana: User) -> None:
    Role.objects.filter(pk=ana.role_id).update(mfa="off")
    refused(post(client_of(ana), BEGIN), 409, "conflict")


def test_a_user_who_must_enrol_gets_in_by_enrolling(stranger: APIClient, settings: Any, ana: User) -> None:
    Role.objects.filter(pk=ana.role_id).update(mfa="required")
    settings.MFA_GRACE = timedelta()
    document = refused(post(stranger, LOGIN, email=ana.email, password=PASSWORD), 403, "enrolment_required")
    assert document["needs_mail"] is False
    token = document["mfa_token"]
    refused(post(stranger, SECOND, mfa_token=token, code="123456"), 400, "invalid_token")
    begun = post(stranger, BEGIN, mfa_token=token).json()
    confirmed = post(stranger, CONFIRM, id=begun["id"], code=code_of(begun), mfa_token=token)
    assert confirmed.status_code == 200
    assert set(access_tokens.find_session(confirmed.json()["access"]).methods) == {"pwd", "otp", "mfa"}
    assert len(confirmed.json()["recovery_codes"]) == 10
    refused(post(stranger, BEGIN, mfa_token=token), 400, "invalid_token")


def test_after_a_reset_the_emailed_link_is_needed_too(stranger: APIClient, ana: User, bruno: User) -> None:
    User.objects.filter(pk=ana.pk).update(mfa_reset_at=timezone.now())
    secret = issue(ana, Purpose.SECOND_FACTOR, request=ana.pk, email=ana.email)
    foreign = issue(bruno, Purpose.SECOND_FACTOR, request=bruno.pk, email=bruno.email)
    document = refused(post(stranger, LOGIN, email=ana.email, password=PASSWORD), 403, "enrolment_required")
    assert document["needs_mail"] is True
    token = document["mfa_token"]
    for wrong in ({}, {"token": "x"}, {"token": foreign}):
        refused(post(stranger, BEGIN, mfa_token=token, **wrong), 400, "invalid_token")
    refused(post(stranger, BEGIN, token=secret), 401, "not_authenticated")
    begun = post(stranger, BEGIN, mfa_token=token, token=secret).json()
    assert post(stranger, CONFIRM, id=begun["id"], code=code_of(begun), mfa_token=token).status_code == 200
    ana.refresh_from_db()
    assert ana.mfa_reset_at is None
    assert ana.one_time_tokens.get().ended_at is not None


def test_a_reset_that_came_between_needs_the_link_too(ana: User) -> None:
    """The user is locked and read again: the request began before an administrator reset the factors."""
    enrolling = enrolment.in_session(login.open_session(ana, proofs.PASSWORD)[0])
    User.objects.filter(pk=ana.pk).update(mfa_reset_at=timezone.now())
    with pytest.raises(InvalidToken):
        enrolment.begin_totp(enrolling)
    assert not TotpSecret.objects.exists()


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_reset_is_not_postponed_by_the_grace_period(stranger: APIClient, ana: User, has_begun: bool) -> None:
    Role.objects.filter(pk=ana.role_id).update(mfa="required")
    now = timezone.now()
    User.objects.filter(pk=ana.pk).update(mfa_reset_at=now, mfa_required_since=now if has_begun else None)
    document = refused(post(stranger, LOGIN, email=ana.email, password=PASSWORD), 403, "enrolment_required")
    assert document["needs_mail"] is True


def test_the_grace_period_begins_with_a_login(
    stranger: APIClient, client_of: Clients, settings: Any, ana: User
) -> None:
    Role.objects.filter(pk=ana.role_id).update(mfa="required")
    first = post(stranger, LOGIN, email=ana.email, password=PASSWORD).json()
    due = first["second_factor_due"]
    assert post(stranger, LOGIN, email=ana.email, password=PASSWORD).json()["second_factor_due"] == due
    User.objects.filter(pk=ana.pk).update(mfa_required_since=timezone.now() - settings.MFA_GRACE)
    refused(post(stranger, LOGIN, email=ana.email, password=PASSWORD), 403, "enrolment_required")
    signed_in = APIClient()
    signed_in.credentials(HTTP_AUTHORIZATION=f"Bearer {first['access']}")
    document = refused(signed_in.get("/api/v1/users/me/"), 403, "enrolment_required")
    assert "mfa_token" not in document
    refused(post(stranger, "/api/v1/auth/token/refresh/", refresh=first["refresh"]), 403, "enrolment_required")
    begun = post(signed_in, BEGIN).json()
    answer = post(signed_in, CONFIRM, id=begun["id"], code=code_of(begun)).json()
    signed_in.credentials(HTTP_AUTHORIZATION=f"Bearer {answer['access']}")
    assert signed_in.get("/api/v1/users/me/").status_code == 200
