"""Administrators change addresses, suspend users and send links."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts import login, one_time_tokens, passwords
from accounts.errors import InvalidToken
from accounts.limits import rate_limits
from accounts.mfa import proofs
from accounts.models import AuditEvent, OneTimeToken, RateBucket, Session, User
from accounts.one_time_tokens import Purpose
from notifications import outbox
from tests.api.test_users import LOGIN, field_errors, kinds, pending_emails
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused


class TestAnotherAddress:
    def test_must_be_confirmed_and_both_addresses_get_an_email(self, carlas: APIClient, ana: User, path: str) -> None:
        request = outbox.enqueue("password_reset", email=ana.email)
        secret = one_time_tokens.issue(ana, Purpose.PASSWORD_RESET, request=request.pk, email=ana.email)
        answer = carlas.patch(path, {"email": "ana@new.example"}, "json").json()
        assert (answer["email"], answer["email_verified"]) == ("ana@new.example", False)
        assert pending_emails() == [("email_changed", "ana@example.com"), ("verify_email", "ana@new.example")]
        with pytest.raises(InvalidToken):
            passwords.reset(secret, OTHER_PASSWORD)

    def test_may_be_declared_confirmed(self, carlas: APIClient, path: str) -> None:
        answer = carlas.patch(path, {"email": "ana@new.example", "email_verified": True}, "json").json()
        assert answer["email_verified"] is True
        assert pending_emails() == [("email_changed", "ana@example.com")]

    def test_that_is_taken_changes_nothing(self, carlas: APIClient, ana: User, bruno: User, path: str) -> None:
        body = {"email": "BRUNO@example.com", "full_name": "Bruno", "is_active": False}
        problem = refused(carlas.patch(path, body, "json"), 400, "validation_error")
        assert field_errors(problem) == [("email", "unique")]
        unchanged = User.objects.get(pk=ana.pk)
        assert (unchanged.email, unchanged.full_name, unchanged.is_active) == (ana.email, "Ana", True)
        assert pending_emails() == []
        assert kinds() == []

    def test_in_another_spelling_is_the_same_mailbox(self, carlas: APIClient, path: str) -> None:
        answer = carlas.patch(path, {"email": "Ana@Example.com"}, "json").json()
        assert (answer["email"], answer["email_verified"]) == ("Ana@Example.com", True)
        assert pending_emails() == []
        assert kinds() == ["user:changed"]


class TestSuspending:
    def test_ends_sessions_and_links_and_emails_the_reason(
        self, carlas: APIClient, carla: User, ana: User, path: str
    ) -> None:
        login.open_session(ana, proofs.PASSWORD)
        request = outbox.enqueue("password_reset", email=ana.email)
        one_time_tokens.issue(ana, Purpose.PASSWORD_RESET, request=request.pk, email=ana.email)
        answer = carlas.post(f"{path}suspend/", {"reason": "Chargeback"}, "json")
        assert (answer.status_code, answer.json()["is_active"]) == (200, False)
        assert not Session.objects.active().filter(user=ana).exists()
        assert not OneTimeToken.objects.filter(user=ana, ended_at=None).exists()
        assert pending_emails() == []
        event = AuditEvent.objects.get(kind="user:suspended")
        assert (event.user_id, event.actor_id, event.data) == (ana.pk, carla.pk, {})

    def test_prevents_logins_until_the_user_is_activated(
        self, carlas: APIClient, ana: User, path: str, stranger: APIClient
    ) -> None:
        carlas.post(f"{path}suspend/")
        credentials = {"email": ana.email, "password": PASSWORD}
        refused(stranger.post(LOGIN, credentials, "json"), 403, "account_suspended")
        assert carlas.post(f"{path}activate/").json()["is_active"] is True
        assert stranger.post(LOGIN, credentials, "json").status_code == 200

    @pytest.mark.parametrize("reason", ["x" * 251, None, [], {}, True, "a\0", "a\tb", "a\x07"])
    def test_takes_a_short_text_as_the_reason(self, carlas: APIClient, ana: User, path: str, reason: Any) -> None:
        answer = carlas.post(f"{path}suspend/", {"reason": reason}, "json")
        assert field_errors(refused(answer, 400, "validation_error"))[0][0] == "reason"
        assert User.objects.get(pk=ana.pk).is_active

    def test_repeating_it_sends_no_further_email(self, carlas: APIClient, path: str) -> None:
        for _time in range(2):
            assert carlas.post(f"{path}suspend/", {}, "json").status_code == 200
        for _time in range(2):
            assert carlas.post(f"{path}activate/").status_code == 200
        assert kinds() == ["user:suspended", "user:activated"]


class TestHelping:
    def test_unlocking_resets_failed_logins(
        self, carlas: APIClient, ana: User, path: str, stranger: APIClient, settings: Any
    ) -> None:
        settings.RATE_LIMITS = True
        for _time in range(5):
            stranger.post(LOGIN, {"email": ana.email, "password": OTHER_PASSWORD}, "json")
        credentials = {"email": ana.email, "password": PASSWORD}
        refused(stranger.post(LOGIN, credentials, "json"), 429, "throttled")
        assert carlas.post(f"{path}unlock/").json()["id"] == str(ana.pk)
        assert stranger.post(LOGIN, credentials, "json").status_code == 200
        assert "user:unlocked" in kinds()

    def test_unlocking_resets_no_other_user(self, carlas: APIClient, bruno: User, path: str, settings: Any) -> None:
        settings.RATE_LIMITS = True
        rate_limits.consume([rate_limits.Attempt("login", "x", settings.RATE_LOGIN, account=bruno.email_key)])
        carlas.post(f"{path}unlock/")
        assert RateBucket.objects.count() == 1

    def test_a_reset_link_is_pending(self, carlas: APIClient, carla: User, ana: User, path: str) -> None:
        answer = carlas.post(f"{path}password-reset/")
        assert (answer.status_code, answer.json()) == (202, {"detail": "The email is on its way."})
        assert pending_emails() == [("password_reset", ana.email)]
        event = AuditEvent.objects.get(kind="password:reset_requested")
        assert (event.user_id, event.actor_id) == (ana.pk, carla.pk)

    def test_a_user_with_a_password_is_not_invited(self, carlas: APIClient, path: str) -> None:
        refused(carlas.post(f"{path}invite/"), 409, "conflict")
        assert pending_emails() == []

    def test_responses_are_in_the_language_of_the_request(self, carlas: APIClient, path: str) -> None:
        answer = carlas.post(f"{path}password-reset/", headers={"Accept-Language": "es"})
        assert answer.json() == {"detail": "El correo está en camino."}
