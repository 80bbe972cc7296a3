"""The policy of a role: optional, required after a grace period, or off."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import login, roles
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, User
from tests.api.requests import API, log_in, post
from tests.api.routes import UNSAFE, Operation, operations
from tests.conftest import PASSWORD, refused
from tests.second_factors import Phone, enrol, passkey, signed_in

pytestmark = pytest.mark.django_db
ROLE = f"{API}roles/user/"
ME = f"{API}users/me/"
WEEK = timedelta(days=7)
#: What a session may still do that the policy has overtaken.
OPEN = {
    *("POST auth/logout/", "POST auth/logout/all/", "POST auth/step-up/"),
    *("POST auth/totp/", "POST auth/totp/confirm/", "POST auth/passkeys/options/", "POST auth/passkeys/"),
}


def require(client: APIClient, mfa: str = "required", **body: Any) -> Any:
    return client.patch(ROLE, {"mfa": mfa, **body}, "json")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def required_at() -> datetime:
    moment = Role.objects.get(name="user").mfa_required_at
    assert moment is not None
    return moment


def begin_long_ago(user: User) -> None:
    """Lets the grace period of the user end a moment ago."""
    now = timezone.now()
    Role.objects.filter(pk=user.role_id).update(mfa="required", mfa_required_at=now - 2 * WEEK)
    User.objects.filter(pk=user.pk).update(mfa_required_since=now - WEEK - timedelta(seconds=1))


class TestInput:
    @pytest.mark.parametrize("mfa", ["optional", "required", "off"])
    def test_a_role_is_created_with_it(self, roots: APIClient, mfa: str) -> None:
        made = post(roots, "roles/", name="new", mfa=mfa)
        assert (made.status_code, made.json()["mfa"]) == (201, mfa)
        role = Role.objects.get(name="new")
        assert (role.mfa_required_at is not None) == (mfa == "required")
        assert AuditEvent.objects.get(kind="role:created").data.get("mfa", "optional") == mfa

    def test_it_is_optional_and_stays_if_it_is_left_out(self, roots: APIClient) -> None:
        assert post(roots, "roles/", name="new").json()["mfa"] == "optional"
        assert roots.patch(f"{API}roles/new/", {"mfa": "required"}, "json").json()["mfa"] == "required"
        assert roots.put(f"{API}roles/new/", {"name": "new"}, "json").json()["mfa"] == "required"
        changed = AuditEvent.objects.filter(kind="role:changed").order_by("id")
        assert [one.data.get("mfa") for one in changed] == ["required", None]

    @pytest.mark.parametrize("mfa", ["", "Required", None, True, 1, [], {}, ["required"], "x" * 100])
    def test_other_values_are_rejected(self, roots: APIClient, mfa: Any) -> None:
        for answer in (require(roots, mfa), post(roots, "roles/", name="new", mfa=mfa)):
            assert refused(answer, 400, "validation_error")["errors"][0]["field"] == "mfa"

    def test_the_time_moves_only_when_it_becomes_required(self, roots: APIClient) -> None:
        require(roots)
        first = required_at()
        require(roots, description="x")
        assert required_at() == first
        require(roots, "optional")
        require(roots)
        assert required_at() > first

    def test_the_administrators_role_may_require_one(self, roots: APIClient) -> None:
        path = f"{API}roles/admin/"
        assert roots.patch(path, {"mfa": "required"}, "json").status_code == 200
        assert roots.put(path, {"name": "admin", "mfa": "optional"}, "json").json()["mfa"] == "optional"
        others: list[dict[str, Any]] = [{"description": "x"}, {"permissions": []}, {"name": "boss"}]
        for more in others:
            refused(roots.patch(path, {"mfa": "optional", **more}, "json"), 409, "conflict")

    def test_permissions_are_needed(
        self, person: Callable[..., User], role: Callable[..., Role], client_of: Callable[[User], APIClient]
    ) -> None:
        role("viewer", "roles.view")
        role("keeper", "roles.change")
        role("spare")
        refused(require(client_of(person("vera", role="viewer"))), 403, "permission_denied")
        keeper = client_of(person("kim", role="keeper"))
        refused(require(keeper), 403, "permission_denied")  # users have the role
        assert keeper.patch(f"{API}roles/spare/", {"mfa": "required"}, "json").status_code == 200
        refused(keeper.patch(f"{API}roles/admin/", {"mfa": "off"}, "json"), 403, "permission_denied")


class TestGrace:
    def test_it_begins_with_the_first_login_after_the_role_requires_one(
        self, ana: User, roots: APIClient, stranger: APIClient
    ) -> None:
        assert "second_factor_due" not in log_in(stranger).json()
        User.objects.filter(pk=ana.pk).update(mfa_required_since=timezone.now() - 4 * WEEK)  # of an earlier policy
        before = signed_in(ana, proofs.PASSWORD)
        require(roots)
        assert before.get(ME).status_code == 200
        ana.refresh_from_db()
        first = log_in(stranger).json()["second_factor_due"]
        assert timedelta() < timezone.now() + WEEK - time_of(first) < timedelta(minutes=1)
        assert log_in(stranger).json()["second_factor_due"] == first
        event = AuditEvent.objects.get(kind="mfa:required")
        assert time_of(event.data["until"]) == time_of(first)

    def test_a_user_with_a_factor_has_none(self, ana: User, phone: Phone, roots: APIClient) -> None:
        require(roots)
        token = refused(log_in(APIClient()), 403, "second_factor_required")["mfa_token"]
        done = post(APIClient(), "auth/login/second-factor/", mfa_token=token, code=phone.code())
        assert done.status_code == 200
        assert "second_factor_due" not in done.json()

    def test_after_it_the_login_and_the_open_session_must_enrol(self, ana: User, stranger: APIClient) -> None:
        client, refresh = signed_in(ana, proofs.PASSWORD), log_in(stranger).json()["refresh"]
        begin_long_ago(ana)
        document = refused(log_in(stranger), 403, "enrolment_required")
        assert document["needs_mail"] is False
        for answer in (client.get(ME), post(stranger, "auth/token/refresh/", refresh=refresh)):
            members = refused(answer, 403, "enrolment_required")
            assert members["needs_mail"] is False
            assert "mfa_token" not in members
        begun = post(stranger, "auth/totp/", mfa_token=document["mfa_token"]).json()
        code = Phone(begun["secret"]).code()
        confirm = {"id": begun["id"], "code": code, "mfa_token": document["mfa_token"]}
        assert post(stranger, "auth/totp/confirm/", **confirm).status_code == 200
        refused(client.get(ME), 401, "token_not_valid")

    def test_an_unconfirmed_address_cannot_enrol(self, person: Callable[..., User], stranger: APIClient) -> None:
        dora = person("dora", email_verified=False)
        client = signed_in(dora, proofs.PASSWORD)
        begin_long_ago(dora)
        refused(log_in(stranger, dora.email), 403, "email_not_verified")
        refused(client.get(ME), 403, "enrolment_required")
        refused(post(client, "auth/totp/"), 403, "email_not_verified")

    def test_a_policy_that_ends_opens_the_session_again(self, ana: User, roots: APIClient, stranger: APIClient) -> None:
        client = signed_in(ana, proofs.PASSWORD)
        begin_long_ago(ana)
        refused(client.get(ME), 403, "enrolment_required")
        require(roots, "optional")
        assert client.get(ME).status_code == 200
        assert "second_factor_due" not in log_in(stranger).json()


class TestOff:
    def test_a_user_with_a_factor_is_still_asked_and_may_add_another(self, ana: User, roots: APIClient) -> None:
        phone = enrol(ana)
        require(roots, "off")
        token = refused(log_in(APIClient()), 403, "second_factor_required")["mfa_token"]
        access = post(APIClient(), "auth/login/second-factor/", mfa_token=token, code=phone.code()).json()["access"]
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
        assert post(client, "auth/totp/").status_code == 201

    def test_a_user_without_one_cannot_add_one(self, ana: User, roots: APIClient) -> None:
        require(roots, "off")
        client = signed_in(ana, proofs.PASSWORD)
        refused(post(client, "auth/totp/"), 409, "conflict")
        assert client.get(ME).status_code == 200

    def test_the_last_one_may_be_removed(self, ana: User, roots: APIClient) -> None:
        key = passkey(ana)
        User.objects.filter(pk=ana.pk).update(mfa_enabled=True)
        ana.refresh_from_db()
        require(roots, "off")
        assert signed_in(ana).delete(f"{ME}factors/{key.pk}/").status_code == 204
        refused(post(signed_in(User.objects.get(pk=ana.pk), proofs.PASSWORD), "auth/totp/"), 409, "conflict")


AUTHENTICATED = [one for one in operations("GET", *UNSAFE) if "not_authenticated" in one.errors]


@pytest.mark.parametrize("operation", AUTHENTICATED, ids=str)
def test_a_session_that_the_policy_has_overtaken_may_do_nothing_else(operation: Operation, root: User) -> None:
    client = signed_in(root, proofs.PASSWORD)
    begin_long_ago(root)
    answer = client.generic(operation.verb, operation.path, "{}", "application/json")
    if str(operation) in OPEN:
        assert answer.status_code == 204 or answer.json().get("code") != "enrolment_required"
        assert "enrolment_required" not in operation.errors
        return
    document = refused(answer, 403, "enrolment_required")
    assert document["needs_mail"] is False
    assert "mfa_token" not in document


def test_it_may_log_out_step_up_and_enrol(root: User) -> None:
    begin_long_ago(root)
    root.refresh_from_db()
    for path, body, status in (
        ("auth/step-up/", {"password": PASSWORD}, 200),
        ("auth/totp/", {}, 201),
        ("auth/logout/", {}, 204),
        ("auth/logout/all/", {}, 204),
    ):
        client = signed_in(User.objects.select_related("role").get(pk=root.pk), proofs.PASSWORD)
        assert post(client, path, **body).status_code == status, path
    refresh = login.open_session(root, proofs.PASSWORD)[1]
    assert post(APIClient(), "auth/logout/", refresh=refresh).status_code == 204


def test_a_reset_overtakes_a_session_that_is_opened_meanwhile(root: User) -> None:
    client = signed_in(root, proofs.PASSWORD)
    User.objects.filter(pk=root.pk).update(mfa_reset_at=timezone.now())
    assert refused(client.get(ME), 403, "enrolment_required")["needs_mail"] is True


def test_a_policy_set_by_an_operator_counts_too(ana: User, stranger: APIClient) -> None:
    roles.update(Role.objects.get(name="user"), actor=None, mfa="required")
    assert "second_factor_due" in log_in(stranger).json()
