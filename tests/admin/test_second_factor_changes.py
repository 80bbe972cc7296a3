"""Users of the panel change their own second factors, reset those of others, and set the policy of a role."""

import re
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts import passwords
from accounts.admin.roles import RoleForm
from accounts.models import AuditEvent, Role, Session, TotpSecret, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose, issue
from notifications.models import OutboxMail, State
from tests.admin.second_factors import CONFIRM, FACTORS, Panel, is_in, make_stale, send_password, sign_in, text
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import Phone, enrol

pytestmark = pytest.mark.django_db


def link_of(user: User, purpose: Purpose) -> str:
    with transaction.atomic():
        return issue(user, purpose, request=new_id(), email=user.email)


def own_form(user: User) -> dict[str, str]:
    form = {"email": user.email, "full_name": "Root", "role": str(user.role_id), "locale": "", "metadata": "{}"}
    return form | {"email_verified": "on"}


@pytest.fixture
def phone(root: User) -> Phone:
    return enrol(root)


@pytest.fixture
def client(root: User, phone: Phone) -> Client:
    return sign_in(root, phone)


def post(client: Client, **fields: Any) -> str:
    return text(client.post(FACTORS, fields, follow=True))


def test_a_factor_is_renamed(client: Client) -> None:
    factor = TotpSecret.objects.get()
    assert "Renamed." in post(client, operation="rename", factor=factor.pk, name="Work phone")
    assert "Give the second factor a name" in post(client, operation="rename", factor=factor.pk, name=" ")
    assert "Give the second factor a name" in post(client, operation="rename", factor=factor.pk, name="x" * 65)
    factor.refresh_from_db()
    assert factor.name == "Work phone"


def test_new_recovery_codes_replace_the_old_ones(client: Client, phone: Phone) -> None:
    page = post(client, operation="codes")
    assert page.count("<li><code>") == 10
    assert phone.recovery_codes[0] not in page
    assert "was not accepted" in text(client.post(CONFIRM, {"code": phone.recovery_codes[0]}))


def test_removing_the_last_factor_ends_the_session(client: Client, root: User) -> None:
    client.post(FACTORS, {"operation": "remove", "factor": str(TotpSecret.objects.get().pk)})
    root.refresh_from_db()
    assert not root.mfa_enabled
    assert not is_in(client)
    send_password(client, email=root.email)
    assert is_in(client)


def test_the_last_factor_stays_if_the_role_requires_one(client: Client, root: User) -> None:
    Role.objects.filter(pk=root.role_id).update(mfa="required")
    assert "Your role requires a second factor." in post(client, operation="remove", factor=TotpSecret.objects.get().pk)
    assert TotpSecret.objects.exists()


@pytest.mark.parametrize("operation", ["rename", "remove", "codes"])
def test_without_a_fresh_login_nothing_changes(client: Client, operation: str) -> None:
    make_stale()
    factor = TotpSecret.objects.get()
    assert "send the action again" in post(client, operation=operation, factor=factor.pk, name="x")
    assert TotpSecret.objects.get().name == factor.name
    assert not AuditEvent.objects.filter(kind="recovery_codes:made").exists()


def test_factors_of_others_and_invalid_ids_are_not_found(client: Client, ana: User) -> None:
    enrol(ana)
    theirs = TotpSecret.objects.get(user=ana)
    assert "Not found." in post(client, operation="remove", factor=theirs.pk)
    assert TotpSecret.objects.filter(pk=theirs.pk).exists()
    assert client.post(FACTORS, {"operation": "remove", "factor": "x"}).status_code == 400


def test_an_administrator_resets_the_factors_of_a_user(client: Client, ana: User) -> None:
    enrol(ana)
    address = f"/admin/accounts/user/{ana.pk}"
    assert "Reset second factors" in text(client.get(f"{address}/change/"))
    answer = client.post(f"{address}/do/reset-factors/", {"reason": "Lost phone"}, follow=True)
    assert "The second factors were removed" in text(answer)
    ana.refresh_from_db()
    assert (ana.mfa_enabled, ana.mfa_reset_at is None) == (False, False)
    assert AuditEvent.objects.get(kind="factor:reset").data["reason"] == "Lost phone"


def test_a_reset_can_be_repeated_until_the_user_has_a_new_factor(client: Client, ana: User) -> None:
    """The emailed link may have expired, or a password reset may have ended it."""
    enrol(ana)
    address = f"/admin/accounts/user/{ana.pk}"
    assert "Since " not in text(client.get(f"{address}/change/"))
    client.post(f"{address}/do/reset-factors/")
    passwords.reset(link_of(ana, Purpose.PASSWORD_RESET), OTHER_PASSWORD)  # ends the link of the reset
    page = text(client.get(f"{address}/change/"))
    assert "Reset second factors" in page
    assert re.search(r"Since [^<]*2\d[^<]*, the user must set up a new one to log in\.", page)
    spanish = text(client.get(f"{address}/change/", headers={"Accept-Language": "es"}))
    assert "el usuario debe configurar uno nuevo" in spanish
    before = OutboxMail.objects.filter(kind="set_up_second_factor", state=State.PENDING).count()
    assert "The second factors were removed" in text(client.post(f"{address}/do/reset-factors/", follow=True))
    assert OutboxMail.objects.filter(kind="set_up_second_factor", state=State.PENDING).count() == before + 1
    User.objects.filter(pk=ana.pk).update(mfa_reset_at=None)  # as after a new factor or a reset with enrol=False
    page = text(client.get(f"{address}/change/"))
    assert ("Reset second factors" in page, "Since " in page) == (False, False)


def test_a_reset_needs_a_fresh_login(client: Client, ana: User) -> None:
    enrol(ana)
    make_stale()
    answer = client.post(f"/admin/accounts/user/{ana.pk}/do/reset-factors/", {"reason": "x"}, follow=True)
    assert "send the action again" in text(answer)
    ana.refresh_from_db()
    assert ana.mfa_enabled


@pytest.mark.parametrize(
    "changes",
    [{"email": "root@new.example"}, {"email_verified": ""}, {"email": "root@new.example", "full_name": "Changed"}],
)
def test_ones_own_address_needs_a_fresh_login(client: Client, root: User, changes: dict[str, str]) -> None:
    address = f"/admin/accounts/user/{root.pk.hex}/change/"
    form = own_form(root)
    make_stale()
    assert client.post(address, form)["Location"] == f"/admin/accounts/user/{root.pk}/change/"  # the name alone
    answer = client.post(address, form | changes)
    assert answer["Location"].startswith(CONFIRM)
    assert "send the action again" in text(client.get(answer["Location"]))
    root.refresh_from_db()
    assert (root.email, root.full_name, root.email_verified) == ("root@example.com", "Root", True)


def test_ones_own_address_changes_after_a_fresh_login(client: Client, root: User, phone: Phone) -> None:
    make_stale()
    client.post(CONFIRM, {"code": phone.recovery_codes[0]})
    User.objects.create(email="x@example.com", role=root.role, email_verified=True)  # the address is unconfirmed
    client.post(f"/admin/accounts/user/{root.pk}/change/", own_form(root) | {"email": "root@new.example"})
    root.refresh_from_db()
    assert root.email == "root@new.example"


def test_deleting_oneself_needs_a_fresh_login(client: Client, root: User, ana: User, phone: Phone) -> None:
    User.objects.create(email="x@example.com", role=root.role, email_verified=True)
    make_stale()
    address = f"/admin/accounts/user/{root.pk.hex}/delete/"
    for answer in (client.get(address), client.post(address, {"post": "yes"})):
        assert answer["Location"].startswith(CONFIRM)
    assert User.objects.filter(pk=root.pk).exists()
    client.post(f"/admin/accounts/user/{ana.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=ana.pk).exists()
    client.post(CONFIRM, {"code": phone.recovery_codes[0]})
    client.post(address, {"post": "yes"})
    assert not User.objects.filter(pk=root.pk).exists()


def test_without_a_factor_ones_own_address_needs_no_fresh_login(root: User, panel_of: Panel) -> None:
    client = panel_of(root)
    make_stale()
    User.objects.create(email="x@example.com", role=root.role, email_verified=True)  # the address is unconfirmed
    client.post(f"/admin/accounts/user/{root.pk}/change/", own_form(root) | {"email": "root@new.example"})
    root.refresh_from_db()
    assert root.email == "root@new.example"


def test_a_reset_needs_its_permission(carla: User, ana: User, panel_of: Panel) -> None:
    enrol(ana)
    client = panel_of(carla)
    assert "Reset second factors" not in text(client.get(f"/admin/accounts/user/{ana.pk}/change/"))
    assert client.post(f"/admin/accounts/user/{ana.pk}/do/reset-factors/", {"reason": "x"}).status_code == 403
    ana.refresh_from_db()
    assert ana.mfa_enabled


@pytest.mark.parametrize("name", ["user", "admin"])
def test_the_policy_of_a_built_in_role_is_set(root: User, panel_of: Panel, name: str) -> None:
    client, role = panel_of(root), Role.objects.get(name=name)
    address = f"/admin/accounts/role/{role.pk}/change/"
    held = role.permissions
    assert 'name="mfa"' in text(client.get(address))
    form = {"description": role.description, "others": "", "mfa": "required"}
    assert client.post(address, form).status_code == 302
    role.refresh_from_db()
    assert (role.mfa, role.permissions) == ("required", held)
    assert client.post(address, {"description": role.description, "others": ""}).status_code == 302
    role.refresh_from_db()
    assert (role.mfa, role.permissions) == ("required", held)


def test_a_stale_login_undoes_no_policy_that_is_set_meanwhile(
    root: User, panel_of: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, role = panel_of(root), Role.objects.create(name="support")
    make_stale()
    check = RoleForm.clean_mfa

    def check_before_another_request(form: RoleForm) -> str:
        policy = check(form)
        Role.objects.filter(name="support").update(mfa="required")
        return policy

    monkeypatch.setattr(RoleForm, "clean_mfa", check_before_another_request)
    form = {"name": "support", "description": "Helps", "others": "", "mfa": "optional"}
    assert client.post(f"/admin/accounts/role/{role.pk}/change/", form).status_code == 302
    role.refresh_from_db()
    assert (role.mfa, role.description) == ("required", "Helps")


def test_the_policy_of_a_role_needs_a_fresh_login(root: User, panel_of: Panel) -> None:
    client, role = panel_of(root), Role.objects.create(name="support", permissions=["users.view"])
    make_stale()
    address = f"/admin/accounts/role/{role.pk}/change/"
    form = {"name": "support", "description": "Helps", "granted": ["users.view"], "others": "", "mfa": "required"}
    page = text(client.post(address, form))
    assert "send the action again" in page
    assert "/admin/confirm/?next=" in page
    role.refresh_from_db()
    assert (role.mfa, role.description) == ("optional", "")
    assert client.post(address, form | {"mfa": "optional"}).status_code == 302
    client.post(CONFIRM, {"password": PASSWORD})
    assert Session.objects.get().stepped_up_at
    assert client.post(address, form).status_code == 302
    role.refresh_from_db()
    assert role.mfa == "required"
