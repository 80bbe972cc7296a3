"""Users in the panel: searched, created, changed and deleted, with the errors of the forms."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import invitations, permissions, users
from accounts.admin.user_forms import NewUserForm
from accounts.hashing import hashers
from accounts.models import AuditEvent, Role, User
from notifications.models import OutboxMail
from tests.conftest import PASSWORD

Panel = Callable[[User], Client]

LIST = reverse("admin:accounts_user_changelist")
ADD = reverse("admin:accounts_user_add")


def page(user: User) -> str:
    return reverse("admin:accounts_user_change", args=[user.pk])


def filled(user: User, **changes: Any) -> dict[str, Any]:
    """Returns the form as the page shows it, with the changes."""
    form = {
        "email": user.email,
        "full_name": user.full_name,
        "role": str(user.role_id),
        "locale": user.locale,
        "metadata": "{}",
    }
    if user.email_verified:
        form["email_verified"] = "on"
    return form | changes


def sent(client: Client, address: str, form: dict[str, Any]) -> str:
    """Sends a form, and returns the text of the page after it."""
    answer = client.post(address, form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def kinds() -> list[str]:
    return list(AuditEvent.objects.exclude(kind="session:opened").order_by("id").values_list("kind", flat=True))


def test_a_user_is_found_by_part_of_the_name_or_address(carla: User, ana: User, bruno: User, panel_of: Panel) -> None:
    for term in ("ana@exam", "Ana", "  ana@example.com "):
        listed = panel_of(carla).get(LIST, {"q": term}).content.decode()
        assert page(ana) in listed, term
        assert page(bruno) not in listed, term


def test_a_quick_filter_narrows_the_list(root: User, ana: User, person: Callable[..., User], panel_of: Panel) -> None:
    only = {"unverified": person("dora", email_verified=False), "suspended": person("emil", is_active=False)}
    people = {root, ana, *only.values()}
    for name, expected in (only | {"admins": root}).items():
        listed = panel_of(root).get(LIST, {"show": name}).content.decode()
        assert {user for user in people if page(user) in listed} == {expected}, name


def test_invited_lists_the_users_who_can_still_accept(carla: User, ana: User, panel_of: Panel) -> None:
    invited, late, revoked = (users.create(f"{name}@example.com", actor=None) for name in ("dora", "emil", "fay"))
    User.objects.filter(pk=late.pk).update(invited_at=timezone.now() - timedelta(days=30))
    invitations.revoke(revoked, actor=None)
    listed = panel_of(carla).get(LIST, {"show": "invited"}).content.decode()
    assert [page(user) in listed for user in (invited, late, revoked, ana)] == [True, True, False, False]
    assert "Invitation expired" in listed


def test_a_user_without_a_password_is_invited(carla: User, panel_of: Panel) -> None:
    said = sent(panel_of(carla), ADD, {"email": "Dora@Example.com", "full_name": "Dora", "metadata": '{"plan": "pro"}'})
    dora = User.objects.get(email_key="dora@example.com")
    assert "Dora" in said
    assert (dora.email, dora.role.name, dora.metadata) == ("Dora@Example.com", permissions.USER, {"plan": "pro"})
    assert not dora.has_usable_password()
    assert kinds() == ["user:created", "user:invited"]
    assert OutboxMail.objects.get().kind == "invitation"


def test_a_user_with_a_password_is_welcomed(carla: User, panel_of: Panel) -> None:
    sent(panel_of(carla), ADD, {"email": "dora@example.com", "password": PASSWORD, "email_verified": "on"})
    dora = User.objects.get(email_key="dora@example.com")
    assert dora.check_password(PASSWORD)
    assert dora.email_verified
    assert OutboxMail.objects.get().kind == "welcome"


def test_no_password_is_hashed_within_a_transaction(
    carla: User, panel_of: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths: list[int] = []
    make = hashers.make

    def noting(password: str) -> str:
        depths.append(len(connection.savepoint_ids))
        return make(password)

    monkeypatch.setattr(hashers, "make", noting)
    client, outside = panel_of(carla), len(connection.savepoint_ids)
    sent(client, ADD, {"email": "dora@example.com", "password": PASSWORD})
    assert depths == [outside]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"email": "nonsense"}, "Enter a valid email address."),
        ({"email": "ANA@example.com"}, "There is an account with this address already."),
        ({"email": "mıke@example.com"}, "Enter a valid email address."),
        ({"email": ""}, "This field is required."),
        ({"password": "12345678"}, "too common"),
        ({"full_name": "Do\x07ra"}, "contain control characters"),
        ({"metadata": "[1]"}, "Metadata must be a JSON object."),
        ({"metadata": "{"}, "Enter a valid JSON."),
        ({"metadata": '{"a": "' + "x" * 17000 + '"}'}, "at most 16 KiB"),
        ({"metadata": r'{"a": "\u0000"}'}, "Metadata contains characters"),
        ({"locale": "xx"}, "not one of the available choices"),
    ],
)
def test_an_error_is_shown_at_its_field(
    carla: User, ana: User, panel_of: Panel, form: dict[str, str], words: str
) -> None:
    before = User.objects.count()
    assert words in sent(panel_of(carla), ADD, {"email": "dora@example.com"} | form)
    assert User.objects.count() == before
    assert kinds() == []


def test_a_form_performs_its_use_case_once(carla: User) -> None:
    class Form(NewUserForm):
        actor = carla

    form = Form({"email": "dora@example.com"})
    assert form.errors == {}
    assert not User.objects.filter(email_key="dora@example.com").exists()
    assert form.is_valid()
    with pytest.raises(RuntimeError):
        form.is_valid()
    assert kinds() == ["user:created", "user:invited"]


def test_a_change_is_made_and_recorded(root: User, ana: User, panel_of: Panel) -> None:
    sent(panel_of(root), page(ana), filled(ana, full_name="Ana García", locale="es", metadata='{"a": 1}'))
    ana.refresh_from_db()
    assert (ana.full_name, ana.locale, ana.metadata) == ("Ana García", "es", {"a": 1})
    assert AuditEvent.objects.get(kind="user:changed").data == {"fields": ["full_name", "locale", "metadata"]}
    assert AuditEvent.objects.get(kind="user:changed").actor_id == root.pk


def test_a_new_address_has_to_be_confirmed(root: User, ana: User, panel_of: Panel) -> None:
    form = filled(ana, email="ana@example.org")
    del form["email_verified"]
    sent(panel_of(root), page(ana), form)
    ana.refresh_from_db()
    assert (ana.email_key, ana.email_verified) == ("ana@example.org", False)
    assert set(OutboxMail.objects.values_list("kind", flat=True)) == {"email_changed", "verify_email"}


def test_a_stale_form_keeps_what_another_administrator_changed(root: User, ana: User, panel_of: Panel) -> None:
    stale = filled(ana, full_name="Ana G.", initial_metadata="{}")
    users.update(ana, actor=None, locale="es")
    sent(panel_of(root), page(ana), stale | {"locale": "es"})
    ana.refresh_from_db()
    assert (ana.full_name, ana.locale) == ("Ana G.", "es")


def test_an_administrator_assigns_a_role(root: User, ana: User, role: Callable[..., Role], panel_of: Panel) -> None:
    support = role("support", "users.view")
    sent(panel_of(root), page(ana), filled(ana, role=str(support.pk)))
    ana.refresh_from_db()
    assert ana.role == support
    assert kinds() == ["user:role_changed"]


def test_without_roles_assign_the_role_is_shown_and_cannot_be_changed(
    carla: User, ana: User, root: User, panel_of: Panel
) -> None:
    client = panel_of(carla)
    assert 'name="role"' not in client.get(page(ana)).content.decode()
    sent(client, page(ana), filled(ana, role=str(root.role_id), full_name="Ana G."))
    ana.refresh_from_db()
    assert (ana.role.name, ana.full_name) == (permissions.USER, "Ana G.")


def test_an_actor_cannot_assign_a_role_with_permissions_they_lack(
    person: Callable[..., User], role: Callable[..., Role], ana: User, root: User, panel_of: Panel
) -> None:
    role("chief", "users.view", "users.change", "roles.assign")
    strong = role("strong", "users.view", "audit.view")
    client = panel_of(person("dora", role="chief"))
    for wanted in (strong, root.role):
        assert "Select a valid choice" in sent(client, page(ana), filled(ana, role=str(wanted.pk)))
        ana.refresh_from_db()
        assert ana.role.name == permissions.USER
    assert kinds() == []


def test_a_user_with_more_permissions_is_read_only(carla: User, root: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    seen = client.get(page(root)).content.decode()
    assert "who has permissions you don't have" in seen
    assert 'name="_save"' not in seen
    assert client.post(page(root), filled(root, full_name="Fool")).status_code == 403
    assert client.post(reverse("admin:accounts_user_delete", args=[root.pk]), {"post": "yes"}).status_code == 403
    root.refresh_from_db()
    assert root.full_name == "Root"


def test_the_last_admin_keeps_the_role(root: User, ana: User, panel_of: Panel) -> None:
    said = sent(panel_of(root), page(root), filled(root, role=str(ana.role_id)))
    assert "This is the last active administrator." in said
    root.refresh_from_db()
    assert root.role.is_admin


def test_the_last_admin_is_not_deleted(root: User, panel_of: Panel) -> None:
    said = sent(panel_of(root), reverse("admin:accounts_user_delete", args=[root.pk]), {"post": "yes"})
    assert "This is the last active administrator." in said
    assert User.objects.filter(pk=root.pk).exists()


def test_a_user_is_deleted_after_confirmation(carla: User, ana: User, panel_of: Panel) -> None:
    client, address = panel_of(carla), reverse("admin:accounts_user_delete", args=[ana.pk])
    assert "ana@example.com" in client.get(address).content.decode()
    assert User.objects.filter(pk=ana.pk).exists()
    sent(client, address, {"post": "yes"})
    assert not User.objects.filter(pk=ana.pk).exists()
    assert kinds() == ["user:deleted"]


def test_djangos_own_log_keeps_no_address(carla: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    sent(client, page(ana), filled(ana, full_name="Ana G."))
    sent(client, ADD, {"email": "dora@example.com"})
    sent(client, reverse("admin:accounts_user_delete", args=[ana.pk]), {"post": "yes"})
    assert not LogEntry.objects.exists()


def test_the_page_of_a_user_shows_sessions_and_events(root: User, ana: User, panel_of: Panel) -> None:
    panel_of(ana)
    users.set_role(ana, Role.objects.create(name="support", permissions=["users.view"]), actor=root)
    seen = panel_of(root).get(page(ana)).content.decode()
    for words in ("Role changed", "old: user · new: support", root.email, "Sessions", "unknown device"):
        assert words in seen


def test_sessions_and_history_require_their_own_permissions(carla: User, ana: User, panel_of: Panel) -> None:
    seen = panel_of(carla).get(page(ana)).content.decode()
    assert 'id="sessions"' not in seen
    assert 'id="history"' not in seen
