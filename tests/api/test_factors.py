"""Users list, rename and remove their second factors, and make new recovery codes."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import enrolment, login
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import AuditEvent, PendingLogin, RecoveryCode, Role, Session, TotpSecret, User
from tests.api.requests import API, all_rows, events, factors_of, log_in, post
from tests.conftest import refused
from tests.second_factors import WITH_CODE, Phone, enrol, passkey, signed_in
from usermanager.environment import rate

pytestmark = pytest.mark.django_db
Clients = Callable[[User], APIClient]
ME = f"{API}users/me/"
MINE = f"{ME}factors/"
CODES = "auth/recovery-codes/"
UNKNOWN = "01a20945-f308-721a-bebb-44953872b004"


@pytest.fixture
def totp(phone: Phone) -> str:
    """Returns the id of ana's only factor."""
    return str(TotpSecret.objects.get().pk)


class TestList:
    def test_it_holds_both_kinds_without_secrets(self, ana: User, totp: str) -> None:
        key = passkey(ana)
        answer = signed_in(ana).get(MINE)
        assert answer.status_code == 200
        page = answer.json()
        assert {**page, "results": []} == {"next": None, "previous": None, "results": [], "recovery_codes_left": 10}
        kept, synced = page["results"]
        assert list(kept) == ["id", "type", "name", "created_at", "last_used_at", "is_synced"]
        assert (kept["id"], kept["type"], kept["is_synced"]) == (totp, "totp", False)
        assert kept["last_used_at"] is not None
        assert (synced["id"], synced["type"], synced["is_synced"]) == (str(key.pk), "passkey", True)
        assert (synced["name"], synced["last_used_at"]) == ("Key", None)

    def test_without_a_factor_it_is_empty(self, ana: User, client_of: Clients) -> None:
        enrolment.begin_totp(enrolment.in_session(login.open_session(ana, proofs.PASSWORD)[0]))
        assert client_of(ana).get(MINE).json() == {
            **{"next": None, "previous": None},
            **{"results": [], "recovery_codes_left": 0},
        }

    def test_others_need_the_permission(
        self, ana: User, totp: str, bruno: User, carla: User, client_of: Clients
    ) -> None:
        refused(client_of(bruno).get(factors_of(ana)), 404, "not_found")
        page = client_of(carla).get(factors_of(ana)).json()
        assert [one["id"] for one in page["results"]] == [totp]
        assert client_of(carla).get(factors_of(bruno)).json()["results"] == []


class TestSeeingOne:
    def test_it_is_the_one_of_the_list(self, ana: User, totp: str, carla: User, client_of: Clients) -> None:
        key, client = str(passkey(ana).pk), signed_in(ana)
        listed = client.get(MINE).json()["results"]
        assert [one["id"] for one in listed] == [totp, key]
        for reader, path in ((client, MINE), (client, factors_of(ana)), (client_of(carla), factors_of(ana))):
            assert [reader.get(f"{path}{factor}/").json() for factor in (totp, key.upper())] == listed

    def test_it_is_looked_for_among_the_factors_of_its_user(self, ana: User, totp: str, bruno: User) -> None:
        enrol(bruno)
        for factor in (str(TotpSecret.objects.get(user=bruno).pk), UNKNOWN, "x", "%00"):
            for path in (MINE, factors_of(ana)):
                refused(signed_in(ana).get(f"{path}{factor}/"), 404, "not_found")

    def test_those_of_others_need_the_permission(self, ana: User, totp: str, bruno: User, client_of: Clients) -> None:
        refused(client_of(bruno).get(f"{factors_of(ana)}{totp}/"), 404, "not_found")


class TestRenaming:
    def test_a_factor_gets_another_name(self, ana: User, totp: str) -> None:
        client = signed_in(ana)
        key = passkey(ana)
        for factor in (totp, str(key.pk), totp.upper()):
            answer = client.patch(f"{MINE}{factor}/", {"name": " Work phone "}, "json")
            assert answer.status_code == 200
            assert (answer.json()["id"], answer.json()["name"]) == (factor.lower(), "Work phone")
        assert [one["name"] for one in client.get(MINE).json()["results"]] == ["Work phone"] * 2
        renamed = AuditEvent.objects.filter(kind="factor:renamed").order_by("id")
        assert [one.data for one in renamed] == [
            {"type": "totp", "factor": totp},
            {"type": "passkey", "factor": str(key.pk)},
        ]

    def test_a_repeated_change_makes_one_event(self, ana: User, totp: str) -> None:
        for name in ("a", "b", "c"):
            assert signed_in(ana).patch(f"{MINE}{totp}/", {"name": name}, "json").status_code == 200
        assert events().count("factor:renamed") == 1

    @pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\nb", "a\0", 7, None])
    def test_a_name_that_is_none_is_rejected(self, ana: User, totp: str, name: Any) -> None:
        answer = signed_in(ana).patch(f"{MINE}{totp}/", {"name": name}, "json")
        assert refused(answer, 400, "validation_error")["errors"][0]["field"] == "name"

    @pytest.mark.parametrize("verb", ["patch", "delete"])
    def test_only_an_own_factor_is_found(self, ana: User, totp: str, bruno: User, verb: str) -> None:
        enrol(bruno)
        client = signed_in(bruno)
        for factor in (totp, UNKNOWN, "x", "%00"):
            refused(getattr(client, verb)(f"{MINE}{factor}/", {"name": "x"}, "json"), 404, "not_found")
        assert TotpSecret.objects.count() == 2
        begun = enrolment.begin_totp(enrolment.in_session(login.open_session(ana, WITH_CODE)[0]))
        refused(getattr(signed_in(ana), verb)(f"{MINE}{begun.id}/", {"name": "x"}, "json"), 404, "not_found")


class TestRemoving:
    def test_the_last_one_takes_the_recovery_codes_and_all_its_sessions(
        self, ana: User, totp: str, phone: Phone, stranger: APIClient, heard: list[Any]
    ) -> None:
        client, other = signed_in(ana), signed_in(ana, proofs.Proof(("pwd", "recovery", "mfa")))
        mfa_token = refused(log_in(stranger), 403, "second_factor_required")["mfa_token"]
        assert client.delete(f"{MINE}{totp}/").status_code == 204
        for ended in (client, other):
            refused(ended.get(ME), 401, "token_not_valid")
        ana.refresh_from_db()
        assert not ana.mfa_enabled
        for model in (RecoveryCode, TotpSecret, PendingLogin):
            assert not model._default_manager.exists()
        event = AuditEvent.objects.get(kind="factor:removed")
        assert (event.actor_id, event.data) == (ana.pk, {"type": "totp", "factor": totp, "sessions": 2})
        assert [(one["user"], one["factor"]) for one in heard] == [(ana, "Authenticator app")]
        dead = {"mfa_token": mfa_token, "recovery_code": phone.recovery_codes[0]}
        refused(post(stranger, "auth/login/second-factor/", **dead), 400, "invalid_token")
        again = log_in(stranger)
        assert again.status_code == 200
        assert access_tokens.SessionAccessToken(again.json()["access"])["acr"] == "aal1"

    def test_another_one_ends_the_sessions_whose_last_proof_it_was(self, ana: User, totp: str) -> None:
        key = passkey(ana)
        by_key = proofs.Proof(("pop", "user", "mfa"), key.pk)
        by_app = proofs.Proof(("pwd", "otp", "mfa"), TotpSecret.objects.get().pk)
        stays, ends = signed_in(ana, by_app), signed_in(ana, by_key)
        recovered = signed_in(ana, proofs.Proof(("pwd", "recovery", "mfa")))
        assert ends.delete(f"{MINE}{key.pk}/").status_code == 204
        refused(ends.get(ME), 401, "token_not_valid")
        assert stays.get(MINE).json()["recovery_codes_left"] == 10
        assert recovered.get(ME).json()["mfa_enabled"] is True
        assert AuditEvent.objects.get(kind="factor:removed").data["sessions"] == 1

    def test_a_session_that_stepped_up_with_it_ends(self, ana: User, totp: str, phone: Phone) -> None:
        key = passkey(ana)
        by_key = signed_in(ana, proofs.Proof(("pop", "user", "mfa"), key.pk))
        by_key.credentials(
            HTTP_AUTHORIZATION=f"Bearer {post(by_key, 'auth/step-up/', code=phone.code()).json()['access']}"
        )
        assert by_key.delete(f"{MINE}{key.pk}/").status_code == 204
        assert by_key.get(ME).status_code == 200

    def test_the_last_one_stays_while_the_role_requires_one(self, ana: User, totp: str) -> None:
        Role.objects.filter(pk=ana.role_id).update(mfa="required")
        client = signed_in(ana)
        before = all_rows()
        refused(client.delete(f"{MINE}{totp}/"), 409, "conflict")
        assert {**all_rows(), "RateBucket": 0} == {**before, "RateBucket": 0}
        key = passkey(ana)
        assert client.delete(f"{MINE}{totp}/").status_code == 204
        refused(signed_in(ana).delete(f"{MINE}{key.pk}/"), 409, "conflict")

    def test_the_limit_of_changes_that_protect_counts(self, ana: User, totp: str, settings: Settings) -> None:
        settings.RATE_LIMITS, settings.RATE_WRITE = True, rate("2/1h")
        client = signed_in(ana)
        for _number in range(2):
            assert post(client, CODES).status_code == 200
        refused(post(client, CODES), 429, "throttled")
        refused(client.delete(f"{MINE}{totp}/"), 429, "throttled")
        assert client.patch(f"{MINE}{totp}/", {"name": "x"}, "json").status_code == 200


class TestRecoveryCodes:
    def test_new_ones_replace_the_old(
        self, ana: User, phone: Phone, stranger: APIClient, heard: list[dict[str, Any]]
    ) -> None:
        client = signed_in(ana)
        answer = post(client, CODES)
        assert answer.status_code == 200
        codes = answer.json()["recovery_codes"]
        assert len(set(codes)) == 10
        assert not set(codes) & set(phone.recovery_codes)
        assert [one["user"] for one in heard] == [ana]
        event = AuditEvent.objects.get(kind="recovery_codes:made")
        assert (event.actor_id, event.user_id, event.data) == (ana.pk, ana.pk, {})

        def sign_in(code: str) -> Any:
            token = refused(log_in(stranger), 403, "second_factor_required")["mfa_token"]
            return post(stranger, "auth/login/second-factor/", mfa_token=token, recovery_code=code)

        refused(sign_in(phone.recovery_codes[0]), 401, "invalid_second_factor")
        assert sign_in(codes[0]).status_code == 200
        assert client.get(MINE).json()["recovery_codes_left"] == 9

    def test_without_a_factor_there_are_none(self, ana: User, client_of: Clients) -> None:
        refused(post(client_of(ana), CODES), 409, "conflict")
        assert not RecoveryCode.objects.exists()


def test_no_secret_is_shown_again(ana: User, roots: APIClient) -> None:
    """M19: neither lists nor the export nor the audit trail hold a secret, an otpauth address or a recovery code."""
    client = signed_in(ana, proofs.PASSWORD)
    begun = post(client, "auth/totp/").json()
    confirmed = post(client, "auth/totp/confirm/", id=begun["id"], code=Phone(begun["secret"]).code()).json()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {confirmed['access']}")
    digests = [bytes(one).hex() for one in RecoveryCode.objects.values_list("digest", flat=True)]
    secrets = [begun["secret"], "otpauth", "<svg", *confirmed["recovery_codes"], *digests]
    secrets += [code.replace("-", "") for code in confirmed["recovery_codes"]]
    for path in ("", "export/", "factors/", "sessions/", "audit/"):
        text = client.get(f"{ME}{path}").content.decode()
        assert not [secret for secret in secrets if secret in text], path
    for path in ("users/", f"users/{ana.pk}/", f"users/{ana.pk}/factors/", "audit/"):
        text = roots.get(f"{API}{path}").content.decode()
        assert not [secret for secret in secrets if secret in text], path


def test_the_export_holds_factors(ana: User, totp: str) -> None:
    client = signed_in(ana)
    exported = json.loads(client.get(f"{ME}export/").content)
    shown = client.get(MINE).json()
    assert exported["factors"] == shown["results"]
    assert exported["recovery_codes_left"] == 10
    assert exported["user"]["mfa_enabled"] is True


def test_another_address_leaves_the_factors(ana: User, phone: Phone, roots: APIClient, path: str) -> None:
    codes = list(RecoveryCode.objects.values())
    rows = list(TotpSecret.objects.values())
    assert roots.patch(path, {"email": "ana@new.example", "email_verified": True}, "json").status_code == 200
    assert (list(RecoveryCode.objects.values()), list(TotpSecret.objects.values())) == (codes, rows)
    refused(log_in(APIClient(), "ana@new.example"), 403, "second_factor_required")


def test_a_factor_that_was_removed_meanwhile_is_not_found(ana: User, totp: str) -> None:
    client = signed_in(ana)
    TotpSecret.objects.filter(user=ana).delete()
    refused(client.delete(f"{MINE}{totp}/"), 404, "not_found")


def test_stale_logins_change_nothing(ana: User, totp: str, roots: APIClient, root: User) -> None:
    Session.objects.update(created_at=timezone.now() - timedelta(hours=1))
    client = signed_in(ana)
    Session.objects.update(created_at=timezone.now() - timedelta(hours=1))
    before = all_rows()
    for answer in (client.delete(f"{MINE}{totp}/"), post(client, CODES)):
        assert refused(answer, 401, "fresh_login_required")["methods"] == ["totp", "recovery_code"]
    assert refused(roots.delete(factors_of(ana)), 401, "fresh_login_required")["methods"] == ["password"]
    assert client.get(MINE).status_code == 200
    assert client.patch(f"{MINE}{totp}/", {"name": "Authenticator app"}, "json").status_code == 200
    assert {**all_rows(), "RateBucket": 0} == {**before, "RateBucket": 0}
