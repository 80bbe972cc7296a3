"""Every way in goes through login.open_session() with a proof, and a user with a second factor needs both factors.

The first test reads the code. It fails for a new caller, so that a reviewer looks at the proof that it passes.
"""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import login, users
from accounts.errors import InvalidCredentials
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, Session, User
from tests.api.requests import log_in, post, receive_token
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from tests.second_factors import WITH_CODE, Phone, enrol, signed_in
from tests.test_architecture import PACKAGES, ROOT

#: The functions that open a session, each with the callers and the proof that they pass.
WAYS_IN = {
    "sessions.create": {("accounts.login", "open_session", "proof")},
    "login.open_session": {
        ("accounts.login", "sign_in", "proof"),
        ("accounts.admin.login", "_after_password", "PASSWORD"),
    },
    "login.sign_in": {
        ("accounts.login", "log_in", "PASSWORD"),
        ("accounts.second_factor", "finish_login", "proof.after_password()"),
        ("accounts.passkey_login", "_sign_in", "proof"),
        ("accounts.enrolment", "_tokens", "proof.after_password()"),
    },
}


def calls() -> dict[str, set[tuple[str, str, str]]]:
    found: dict[str, set[tuple[str, str, str]]] = {name: set() for name in WAYS_IN}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for function, call in _calls_of(path):
                name = ast.unparse(call.func)
                whole = name if "." in name else f"login.{name}"
                if whole in found and (module := _module(path)) in {"accounts.login", *_importers(path, name)}:
                    found[whole].add((module, function, ast.unparse(call.args[1])))
    return found


def _calls_of(path: Path) -> list[tuple[str, ast.Call]]:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return [(one.name, node) for one in functions for node in ast.walk(one) if isinstance(node, ast.Call)]


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _importers(path: Path, name: str) -> set[str]:
    """Returns the file's module if the name is an attribute of a module, or is imported from one."""
    imported = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imported for alias in node.names}
    return {_module(path)} if name.partition(".")[0] in names else set()


def test_each_way_in_passes_a_proof() -> None:
    assert calls() == WAYS_IN


def test_no_other_code_creates_a_session() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            made = [ast.unparse(call.func) for _function, call in _calls_of(path)]
            rows = [
                name for name in made if name in {"Session", "Session.objects.create", "Session.objects.bulk_create"}
            ]
            assert not rows or _module(path) == "accounts.sessions", path


@pytest.mark.django_db
class TestUserWithAFactor:
    @pytest.fixture
    def phone(self, ana: User) -> Phone:
        return enrol(ana)

    @pytest.mark.parametrize("amr", [("pwd",), ("pop",), (), ("pwd", "otp")])
    def test_a_proof_without_a_second_factor_opens_no_session(
        self, ana: User, phone: Phone, amr: tuple[str, ...]
    ) -> None:
        before = ana.last_login_at
        with pytest.raises(InvalidCredentials):
            login.open_session(ana, proofs.Proof(amr))
        ana.refresh_from_db()
        assert ana.last_login_at == before
        assert not Session.objects.exists()

    def test_an_object_that_was_read_before_the_enrolment_opens_none_either(self, ana: User) -> None:
        old = User.objects.select_related("role").get(pk=ana.pk)
        enrol(ana)
        with pytest.raises(InvalidCredentials):
            login.open_session(old, proofs.PASSWORD)

    def test_djangos_authentication_refuses_the_password_alone(self, ana: User, rf: Any) -> None:
        request = rf.post("/")
        assert authenticate(request, username=ana.email, password=PASSWORD) == ana
        enrol(ana)
        assert authenticate(request, username=ana.email, password=PASSWORD) is None

    def test_it_refuses_a_user_who_must_enrol(self, ana: User, rf: Any) -> None:
        User.objects.filter(pk=ana.pk).update(mfa_reset_at=timezone.now())
        assert authenticate(rf.post("/"), username=ana.email, password=PASSWORD) is None

    def test_a_reset_password_opens_no_session_and_leaves_the_factor(
        self, ana: User, phone: Phone, stranger: APIClient
    ) -> None:
        post(stranger, "auth/password/reset/", email=ana.email)
        token = receive_token("password_reset")
        answer = post(stranger, "auth/password/reset/confirm/", token=token, new_password=OTHER_PASSWORD)
        assert (answer.status_code, answer.content) == (204, b"")
        assert not Session.objects.active().exists()
        pending = refused(log_in(stranger, password=OTHER_PASSWORD), 403, "second_factor_required")["mfa_token"]
        assert post(stranger, "auth/login/second-factor/", mfa_token=pending, code=phone.code()).status_code == 200
        assert ana.mfa_enabled

    def test_a_confirmed_address_opens_no_session(self, ana: User, phone: Phone) -> None:
        client = signed_in(ana)
        body = {"new_email": "ana@new.example", "current_password": PASSWORD}
        assert post(client, "auth/email/change/", **body).status_code == 202
        before = Session.objects.count()
        answer = post(APIClient(), "auth/email/change/confirm/", token=receive_token("email_change"))
        assert (answer.status_code, answer.content) == (204, b"")
        assert Session.objects.count() == before
        refused(log_in(APIClient(), "ana@new.example"), 403, "second_factor_required")


@pytest.mark.django_db
def test_an_accepted_invitation_opens_no_session_and_the_policy_counts_at_the_login(
    person: Callable[..., User], stranger: APIClient, settings: Any
) -> None:
    settings.MFA_GRACE = settings.MFA_GRACE * 0
    Role.objects.filter(name="user").update(mfa="required", mfa_required_at=timezone.now())
    users.create("dora@example.com", actor=None)
    answer = post(stranger, "auth/invitation/accept/", token=receive_token("invitation"), password=PASSWORD)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not Session.objects.exists()
    refused(log_in(stranger, "dora@example.com"), 403, "enrolment_required")
    assert "session:opened" not in AuditEvent.objects.values_list("kind", flat=True)


@pytest.mark.django_db
def test_both_factors_open_a_session(ana: User) -> None:
    enrol(ana)
    session, _refresh = login.open_session(ana, WITH_CODE)
    assert session.acr == "aal2"
