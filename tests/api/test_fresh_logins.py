"""Sensitive actions need a recent login: always, or for a user with a second factor."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.api.roles import RoleViewSet
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import Role, Session, TotpSecret, User
from tests.api.requests import API, post, rows_without_traces
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from tests.second_factors import WITH_CODE, Phone, enrol, signed_in

pytestmark = pytest.mark.django_db
CURRENT = {"current_password": PASSWORD}
#: The actions that need a fresh login of a user with a second factor alone.
WITH_A_FACTOR: dict[str, tuple[str, str, dict[str, Any]]] = {
    "change the password": ("post", "auth/password/change/", {**CURRENT, "new_password": OTHER_PASSWORD}),
    "change the address": ("post", "auth/email/change/", {**CURRENT, "new_email": "ana@new.example"}),
    "leave": ("delete", "users/me/", CURRENT),
}
#: Changes of one's own account by its id, which need the permissions of an administrator and no password.
BY_ID: dict[str, tuple[str, str, dict[str, Any]]] = {
    "change one's address": ("patch", "users/{root}/", {"email": "root@new.example"}),
    "confirm one's address": ("patch", "users/{root}/", {"email_verified": True}),
    "replace oneself": ("put", "users/{root}/", {"email": "root@new.example"}),
    "delete oneself": ("delete", "users/{root}/", {}),
}
ALWAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "new recovery codes": ("post", "auth/recovery-codes/", {}),
    "remove a factor": ("delete", "users/me/factors/{factor}/", {}),
    "reset the factors of a user": ("delete", "users/{bruno}/factors/", {"enrol": False}),
    "create a role with a policy": ("post", "roles/", {"name": "new", "mfa": "off"}),
    "change the policy of a role": ("patch", "roles/spare/", {"mfa": "required"}),
    "replace the policy of a role": ("put", "roles/spare/", {"name": "spare", "mfa": "off"}),
}
ALL = WITH_A_FACTOR | BY_ID | ALWAYS
LATER = timedelta(minutes=10)


def send(client: APIClient, name: str, bruno: User | None = None, **headers: str) -> Any:
    verb, path, body = ALL[name]
    factor = TotpSecret.objects.values_list("pk", flat=True).first()
    root = User.objects.filter(email="root@example.com").values_list("pk", flat=True).first()
    path = API + path.format(factor=factor, bruno=bruno.pk if bruno else "", root=root)
    return getattr(client, verb)(path, body, "json", headers=headers)


@pytest.fixture
def boss(root: User) -> Phone:
    """Root's authenticator app. There is a role spare."""
    Role.objects.create(name="spare")
    return enrol(root)


def make_stale(user: User) -> None:
    Session.objects.filter(user=user).update(created_at=timezone.now() - LATER)


def stale(user: User, proof: proofs.Proof = WITH_CODE) -> APIClient:
    """Returns a client whose login is as old as FRESH_LOGIN_LIFETIME."""
    client = signed_in(user, proof)
    make_stale(user)
    session = Session.objects.select_related("user__role").filter(user=user).latest("id")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
    return client


@pytest.mark.parametrize("name", ALL)
def test_a_stale_login_is_refused_and_works_after_a_step_up(name: str, boss: Phone, root: User, bruno: User) -> None:
    client = stale(root)
    Role.objects.create(name="other")
    User.objects.create(email="x@example.com", role=root.role, email_verified=True)  # so that root may leave
    before = rows_without_traces()
    answer = send(client, name, bruno)
    document = refused(answer, 401, "fresh_login_required")
    assert document["methods"] == ["totp", "recovery_code"]
    assert answer["WWW-Authenticate"] == (
        'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age="600"'
    )
    assert rows_without_traces() == before
    access = post(client, "auth/step-up/", code=boss.code()).json()["access"]
    refused(send(client, name, bruno), 401, "fresh_login_required")  # the older token stays stale
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    assert send(client, name, bruno).status_code < 300


@pytest.mark.parametrize("name", ALWAYS)
def test_without_a_factor_the_password_makes_it_fresh(name: str, root: User, bruno: User) -> None:
    Role.objects.create(name="spare")
    client = stale(root, proofs.PASSWORD)
    answer = send(client, name, bruno)
    assert refused(answer, 401, "fresh_login_required")["methods"] == ["password"]
    assert answer["WWW-Authenticate"] == 'Bearer error="insufficient_user_authentication", max_age="600"'
    access = post(client, "auth/step-up/", password=PASSWORD).json()["access"]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    assert send(client, name, bruno).status_code in {200, 201, 204, 404, 409}


@pytest.mark.parametrize("spelling", ["{0}", "{0.hex}", "urn:uuid:{0}", "{{{0}}}"])
@pytest.mark.usefixtures("boss")
def test_every_spelling_of_ones_own_id_needs_a_fresh_login(spelling: str, root: User) -> None:
    path = f"{API}users/{spelling.format(root.pk)}/"
    refused(stale(root).patch(path, {"email": "root@new.example"}, "json"), 401, "fresh_login_required")


@pytest.mark.usefixtures("boss")
def test_other_users_and_other_fields_of_oneself_need_none(root: User, bruno: User) -> None:
    client = stale(root)
    assert client.patch(f"{API}users/{root.pk}/", {"full_name": "Root"}, "json").status_code == 200
    body = {"email": "bruno@new.example", "email_verified": True}
    assert client.patch(f"{API}users/{bruno.pk}/", body, "json").status_code == 200
    assert client.delete(f"{API}users/{bruno.pk}/").status_code == 204


@pytest.mark.parametrize("name", BY_ID)
def test_without_a_factor_the_permission_is_enough(name: str, root: User) -> None:
    User.objects.create(email="x@example.com", role=root.role, email_verified=True)
    assert send(stale(root, proofs.PASSWORD), name).status_code < 300


@pytest.mark.parametrize("name", WITH_A_FACTOR)
def test_without_a_factor_the_password_in_the_body_is_enough(name: str, ana: User) -> None:
    assert send(stale(ana, proofs.PASSWORD), name).status_code < 300


@pytest.mark.parametrize("name", WITH_A_FACTOR)
def test_a_fresh_login_needs_the_password_as_well(name: str, ana: User) -> None:
    enrol(ana)
    verb, path, body = WITH_A_FACTOR[name]
    client = signed_in(ana)
    for wrong in ({}, {**body, "current_password": OTHER_PASSWORD}):
        refused(getattr(client, verb)(API + path, wrong, "json"), 400, "validation_error")
    assert send(client, name).status_code < 300


@pytest.mark.parametrize("action", ALL)
@pytest.mark.usefixtures("boss")
def test_freshness_is_judged_before_the_body_and_the_password(action: str, root: User, bruno: User) -> None:
    verb, path, body = ALL[action]
    client = stale(root)
    factor = TotpSecret.objects.get().pk
    path = API + path.format(factor=factor, bruno=bruno.pk, root=root.pk)
    wrong = {**{name: [1] for name in body}, "current_password": OTHER_PASSWORD}
    refused(getattr(client, verb)(path, wrong, "json"), 401, "fresh_login_required")


def test_a_password_alone_is_no_login_of_a_user_with_a_factor(ana: User) -> None:
    """A session that an enrolment elsewhere should have ended."""
    client = signed_in(ana, proofs.PASSWORD)
    User.objects.filter(pk=ana.pk).update(mfa_enabled=True)
    refused(send(client, "leave"), 401, "token_not_valid")


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("patch", {"description": "x"}),
        ("patch", {"mfa": "optional"}),
        ("put", {"name": "spare", "mfa": "optional", "description": "x"}),
        ("get", {}),
    ],
)
@pytest.mark.usefixtures("boss")
def test_a_role_whose_policy_stays_needs_no_fresh_login(verb: str, body: dict[str, str], root: User) -> None:
    assert getattr(stale(root), verb)(f"{API}roles/spare/", body, "json").status_code == 200


@pytest.mark.parametrize("verb", ["patch", "put"])
@pytest.mark.usefixtures("boss")
def test_a_stale_login_undoes_no_policy_that_is_set_meanwhile(
    verb: str, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = RoleViewSet.needs_fresh_login

    def check_before_another_request(view: RoleViewSet, session: Session) -> bool:
        is_needed = check(view, session)
        Role.objects.filter(name="spare").update(mfa="required")
        return is_needed

    monkeypatch.setattr(RoleViewSet, "needs_fresh_login", check_before_another_request)
    body = {"name": "spare", "mfa": "optional", "description": "x"}
    assert getattr(stale(root), verb)(f"{API}roles/spare/", body, "json").json()["mfa"] == "required"
    role = Role.objects.get(name="spare")
    assert (role.mfa, role.description) == ("required", "x")


@pytest.mark.usefixtures("boss")
def test_roles_without_a_policy_need_no_fresh_login(root: User) -> None:
    client = stale(root)
    assert post(client, "roles/", name="new").status_code == 201
    assert post(client, "roles/", name="newer", mfa="optional").status_code == 201
    refused(client.patch(f"{API}roles/none/", {"mfa": "off"}, "json"), 404, "not_found")
    assert client.delete(f"{API}roles/new/").status_code == 204


@pytest.mark.parametrize("name", ["change the policy of a role", "create a role with a policy"])
def test_the_permission_is_checked_first(name: str, ana: User) -> None:
    Role.objects.create(name="spare")
    refused(send(stale(ana, proofs.PASSWORD), name), 403, "permission_denied")


@pytest.mark.usefixtures("boss")
def test_a_browser_of_another_site_may_read_the_challenge(root: User, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    answer = send(stale(root), "new recovery codes", Origin="https://app.example")
    refused(answer, 401, "fresh_login_required")
    assert "www-authenticate" in answer["Access-Control-Expose-Headers"]


def test_changes_of_ones_own_name_stay_as_they_were(ana: User) -> None:
    enrol(ana)
    assert stale(ana).patch(f"{API}users/me/", {"full_name": "Ana G."}, "json").status_code == 200
