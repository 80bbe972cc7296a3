"""A user adds passkeys, and signs in with one alone: it is two factors at once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import passwords, users
from accounts.jwt import access_tokens
from accounts.mfa import challenges
from accounts.models import AuditEvent, Passkey, RateBucket, Role, Session, SpentChallenge, User
from accounts.one_time_tokens import Purpose, issue
from tests.api.requests import at_location
from tests.authenticator import BE, BS, EDDSA, ES256, RS256, UP, UV, Authenticator
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from tests.second_factors import add_passkey

pytestmark = pytest.mark.django_db
Clients = Callable[[User], APIClient]
API = "/api/v1/auth/"


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(API + path, body, format="json")


def register(client: APIClient, authenticator: Authenticator, **body: Any) -> Any:
    """Asks for options and sends the authenticator's answer."""
    options = post(client, "passkeys/options/", **body)
    assert options.status_code == 200, options.content
    return post(client, "passkeys/", passkey=authenticator.create(options.json()), **body)


def sign_in(client: APIClient, authenticator: Authenticator) -> Any:
    """Signs in with the passkey alone."""
    return post(client, "passkey/", passkey=authenticator.get(post(client, "passkey/options/").json()))


def with_token(access: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


def claims_of(answer: Any) -> Any:
    return access_tokens.SessionAccessToken(answer.json()["access"])


class TestRegistration:
    def test_the_options(self, client_of: Clients, ana: User) -> None:
        known = add_passkey(ana)
        signed_in = with_token(sign_in(APIClient(), known).json()["access"])
        options = post(signed_in, "passkeys/options/").json()
        assert options.pop("challenge")
        [excluded] = options.pop("excludeCredentials")
        assert (excluded["type"], excluded["transports"]) == ("public-key", ["internal"])
        assert options == {
            "rp": {"id": "localhost", "name": "UserManager"},
            "user": {"id": options["user"]["id"], "name": "ana@example.com", "displayName": "Ana"},
            "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in (-8, -7, -257)],
            "timeout": 300_000,
            "authenticatorSelection": {
                **{"residentKey": "required", "requireResidentKey": True, "userVerification": "required"}
            },
            "attestation": "none",
        }
        assert known.handle == ana.pk.bytes

    @pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
    @pytest.mark.parametrize("fmt", ["none", "packed"])
    def test_a_user_adds_a_passkey(self, client_of: Clients, ana: User, algorithm: int, fmt: str) -> None:
        client, other = client_of(ana), client_of(ana)
        authenticator = Authenticator(algorithm)
        authenticator.flags = UP | UV | BE | BS
        options = post(client, "passkeys/options/").json()
        answer = post(client, "passkeys/", passkey=authenticator.create(options, fmt=fmt), name="Laptop")
        assert answer.status_code == 201, answer.content
        body = answer.json()
        assert body["factor"] | {"created_at": 0, "last_used_at": 0, "id": 0} == {
            **{"id": 0, "type": "passkey", "name": "Laptop", "created_at": 0, "last_used_at": 0, "is_synced": True}
        }
        assert at_location(with_token(body["access"]), answer) == body["factor"]
        assert len(body["recovery_codes"]) == 10
        assert body["user"]["mfa_enabled"] is True
        claims = claims_of(answer)
        assert (claims["acr"], set(claims["amr"])) == ("aal2", {"pwd", "pop", "user", "mfa"})
        refused(other.get("/api/v1/users/me/"), 401, "token_not_valid")
        event = AuditEvent.objects.get(kind="factor:added")
        assert (event.actor_id, event.data) == (ana.pk, {"type": "passkey", "factor": body["factor"]["id"]})
        assert Passkey.objects.get().transports == ["internal"]

    def test_a_second_one_brings_no_codes(self, ana: User) -> None:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION="Bearer " + sign_in(client, add_passkey(ana)).json()["access"])
        answer = register(client, Authenticator())
        assert answer.status_code == 201
        assert "recovery_codes" not in answer.json()
        assert answer.json()["factor"]["name"] == "Passkey"

    def test_a_user_who_must_enrol_gets_in_by_adding_one(self, stranger: APIClient, settings: Any, ana: User) -> None:
        Role.objects.filter(pk=ana.role_id).update(mfa="required")
        settings.MFA_GRACE = timedelta()
        document = refused(post(stranger, "login/", email=ana.email, password=PASSWORD), 403, "enrolment_required")
        answer = register(stranger, Authenticator(), mfa_token=document["mfa_token"])
        assert answer.status_code == 201
        assert set(claims_of(answer)["amr"]) == {"pwd", "pop", "user", "mfa"}
        again = post(stranger, "passkeys/options/", mfa_token=document["mfa_token"])
        refused(again, 400, "invalid_token")

    def test_after_a_reset_the_emailed_link_is_needed_too(self, stranger: APIClient, ana: User) -> None:
        User.objects.filter(pk=ana.pk).update(mfa_reset_at=timezone.now())
        link = issue(ana, Purpose.SECOND_FACTOR, request=ana.pk, email=ana.email)
        document = refused(post(stranger, "login/", email=ana.email, password=PASSWORD), 403, "enrolment_required")
        token = document["mfa_token"]
        refused(post(stranger, "passkeys/options/", mfa_token=token), 400, "invalid_token")
        options = post(stranger, "passkeys/options/", mfa_token=token, token=link).json()
        answer = post(stranger, "passkeys/", passkey=Authenticator().create(options), mfa_token=token)
        assert answer.status_code == 201

    def test_who_may_not(
        self, client_of: Clients, stranger: APIClient, person: Callable[..., User], ana: User, settings: Any
    ) -> None:
        dora = person("dora", email_verified=False)
        refused(post(client_of(dora), "passkeys/options/"), 403, "email_not_verified")
        for path in ("passkeys/options/", "passkeys/"):
            refused(post(stranger, path), 401, "not_authenticated")
            refused(post(stranger, path, mfa_token="x", passkey={}), 400, "invalid_token")
        Role.objects.filter(pk=ana.role_id).update(mfa="off")
        refused(post(client_of(ana), "passkeys/options/"), 409, "conflict")
        client = client_of(ana)
        settings.FRESH_LOGIN_LIFETIME = timedelta()
        for path in ("passkeys/options/", "passkeys/"):
            refused(post(client, path), 401, "fresh_login_required")

    def test_a_known_credential_is_a_conflict(self, client_of: Clients, ana: User, bruno: User) -> None:
        authenticator = add_passkey(ana)
        refused(register(client_of(bruno), authenticator), 409, "conflict")
        bruno.refresh_from_db()
        assert not bruno.mfa_enabled
        assert Passkey.objects.count() == 1
        assert not SpentChallenge.objects.filter(expires_at__gt=timezone.now()).count() > 1

    def test_ten_are_enough(self, ana: User) -> None:
        for _number in range(10):
            known = add_passkey(ana)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION="Bearer " + sign_in(client, known).json()["access"])
        refused(register(client, Authenticator()), 409, "conflict")
        assert Passkey.objects.count() == 10


class TestLogin:
    @pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
    def test_a_passkey_alone_is_enough(self, stranger: APIClient, ana: User, algorithm: int) -> None:
        authenticator = add_passkey(ana, Authenticator(algorithm))
        answer = sign_in(stranger, authenticator)
        assert answer.status_code == 200, answer.content
        assert answer.json()["user"]["id"] == str(ana.pk)
        claims = claims_of(answer)
        assert (claims["acr"], set(claims["amr"])) == ("aal2", {"pop", "user", "mfa"})
        ana.refresh_from_db()
        assert ana.last_login_at is not None
        assert access_tokens.find_session(answer.json()["access"]).last_factor == Passkey.objects.get().pk

    def test_the_options_are_alike_for_all_and_write_nothing(self, stranger: APIClient, ana: User) -> None:
        before = post(stranger, "passkey/options/").json()
        add_passkey(ana)
        events, spent = AuditEvent.objects.count(), SpentChallenge.objects.count()
        after = [post(stranger, "passkey/options/", email=ana.email).json() for _request in range(20)]
        assert len({options.pop("challenge") for options in [before, *after]}) == 21
        assert {str(options) for options in [before, *after]} == {
            str({"timeout": 300_000, "rpId": "localhost", "userVerification": "required"})
        }
        assert (events, spent) == (AuditEvent.objects.count(), SpentChallenge.objects.count())
        assert not RateBucket.objects.exists()

    def test_it_can_be_turned_off(self, stranger: APIClient, settings: Any, ana: User) -> None:
        answer = add_passkey(ana).get(post(stranger, "passkey/options/").json())
        settings.PASSKEY_LOGIN = False
        refused(post(stranger, "passkey/options/"), 404, "not_found")
        refused(post(stranger, "passkey/", passkey=answer), 404, "not_found")
        assert not Session.objects.exists()

    def test_an_answer_works_once(self, stranger: APIClient, ana: User) -> None:
        authenticator = add_passkey(ana)
        answer = authenticator.get(post(stranger, "passkey/options/").json())
        assert post(stranger, "passkey/", passkey=answer).status_code == 200
        refused(post(stranger, "passkey/", passkey=answer), 401, "invalid_credentials")
        assert Session.objects.count() == 1

    def test_a_challenge_expires(self, stranger: APIClient, settings: Any, ana: User) -> None:
        authenticator = add_passkey(ana)
        settings.MFA_LOGIN_LIFETIME = timedelta()
        refused(sign_in(stranger, authenticator), 401, "invalid_credentials")

    def test_a_refused_answer_leaves_the_challenge_unspent(self, stranger: APIClient, ana: User) -> None:
        authenticator = add_passkey(ana)
        options = post(stranger, "passkey/options/").json()
        authenticator.flags = UP
        refused(post(stranger, "passkey/", passkey=authenticator.get(options)), 401, "invalid_credentials")
        authenticator.flags = UP | UV
        assert post(stranger, "passkey/", passkey=authenticator.get(options)).status_code == 200

    def test_a_failure_is_recorded(self, stranger: APIClient, ana: User) -> None:
        authenticator = add_passkey(ana)
        authenticator.flags = UP
        sign_in(stranger, authenticator)
        event = AuditEvent.objects.filter(kind="login:failed").latest("id")
        assert (event.user_id, event.actor_id) == (ana.pk, None)
        assert event.data == {"code": "invalid_credentials", "method": "passkey"}

    def test_failures_of_a_client_are_limited(self, stranger: APIClient, settings: Any, ana: User) -> None:
        settings.RATE_LIMITS = True
        settings.RATE_PASSKEY_IP = settings.RATE_PASSKEY_IP._replace(limit=2)
        authenticator = add_passkey(ana)
        for _success in range(3):
            assert sign_in(stranger, authenticator).status_code == 200
        for _failure in range(2):
            refused(sign_in(stranger, Authenticator()), 401, "invalid_credentials")
        answer = sign_in(stranger, authenticator)
        refused(answer, 429, "throttled")
        assert int(answer["Retry-After"]) > 0

    def test_a_suspended_user_stays_out(self, stranger: APIClient, ana: User, root: User) -> None:
        authenticator = add_passkey(ana)
        users.suspend(ana, actor=root)
        refused(sign_in(stranger, authenticator), 403, "account_suspended")
        authenticator.flags = UP
        refused(sign_in(stranger, authenticator), 401, "invalid_credentials")
        assert not Session.objects.exists()

    def test_an_unconfirmed_address_stays_out(self, stranger: APIClient, settings: Any, ana: User) -> None:
        authenticator = add_passkey(ana)
        User.objects.filter(pk=ana.pk).update(email_verified=False)
        settings.EMAIL_VERIFICATION = "required"
        refused(sign_in(stranger, authenticator), 403, "email_not_verified")
        assert not Session.objects.exists()

    def test_a_user_who_must_add_a_factor_stays_out(self, stranger: APIClient, settings: Any, ana: User) -> None:
        """Such a user has no passkey, unless a row was left behind. Then it must not sign them in."""
        authenticator = add_passkey(ana)
        User.objects.filter(pk=ana.pk).update(mfa_enabled=False, mfa_reset_at=timezone.now())
        refused(sign_in(stranger, authenticator), 403, "enrolment_required")

    def test_a_password_reset_keeps_the_passkey(self, stranger: APIClient, ana: User) -> None:
        authenticator = add_passkey(ana)
        passwords.reset(issue(ana, Purpose.PASSWORD_RESET, request=ana.pk, email=ana.email), OTHER_PASSWORD)
        assert sign_in(stranger, authenticator).status_code == 200

    @pytest.mark.parametrize("passkey", ["x", [], None, 1])
    def test_anything_but_an_object_is_invalid_input(self, stranger: APIClient, passkey: Any) -> None:
        refused(post(stranger, "passkey/", passkey=passkey), 400, "validation_error")


def test_a_challenge_is_pruned_once_it_has_expired(stranger: APIClient, ana: User) -> None:
    sign_in(stranger, add_passkey(ana))
    assert challenges.prune() == 0
    SpentChallenge.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert challenges.prune() == 2
