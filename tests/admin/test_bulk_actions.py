"""Actions on several users: a confirmation page first, then one use case for each user."""

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts import permissions
from accounts.admin import confirmation
from accounts.models import AuditEvent, Role, User

Panel = Callable[[User], Client]
LIST = reverse("admin:accounts_user_changelist")
ACTIONS = ("change_role", "suspend", "activate", "delete_for_good")


def choose(client: Client, action: str, *people: User, **form: Any) -> str:
    """Chooses an action and returns the page; with `confirmed`, the action is performed."""
    form |= {"action": action, "_selected_action": [str(user.pk) for user in people]}
    answer = client.post(LIST, form, follow=True)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def agree(client: Client, action: str, *people: User, **form: Any) -> str:
    return choose(client, action, *people, confirmed="yes", **form)


def changes() -> list[str]:
    return list(AuditEvent.objects.exclude(kind="session:opened").order_by("id").values_list("kind", flat=True))


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_does_nothing_before_it_is_confirmed(
    root: User, ana: User, bruno: User, panel_of: Panel, action: str
) -> None:
    page = choose(panel_of(root), action, ana, bruno)
    assert "ana@example.com" in page
    assert "bruno@example.com" in page
    assert changes() == []


def test_several_users_are_suspended_with_one_reason(root: User, ana: User, bruno: User, panel_of: Panel) -> None:
    assert "Done for 2 users." in agree(panel_of(root), "suspend", ana, bruno, reason="Spam")
    assert not User.objects.filter(pk__in=[ana.pk, bruno.pk], is_active=True).exists()
    events = AuditEvent.objects.filter(kind="user:suspended")
    assert [(event.actor_id, event.data) for event in events] == [(root.pk, {})] * 2
    assert list(User.objects.exclude(pk=root.pk).values_list("suspension_reason", flat=True)) == ["Spam", "Spam"]


def test_several_users_are_activated(root: User, person: Callable[..., User], panel_of: Panel) -> None:
    people = [person(name, is_active=False) for name in ("dora", "emil")]
    agree(panel_of(root), "activate", *people)
    assert User.objects.filter(pk__in=[user.pk for user in people], is_active=True).count() == 2


def test_several_users_get_another_role(root: User, ana: User, bruno: User, panel_of: Panel) -> None:
    support = Role.objects.create(name="support", permissions=["users.view"])
    agree(panel_of(root), "change_role", ana, bruno, role=str(support.pk))
    assert set(support.users.all()) == {ana, bruno}
    assert changes() == ["user:role_changed"] * 2


def test_a_role_is_required(root: User, ana: User, panel_of: Panel) -> None:
    assert "This field is required." in agree(panel_of(root), "change_role", ana)
    assert changes() == []


def test_several_users_are_deleted(root: User, ana: User, bruno: User, panel_of: Panel) -> None:
    agree(panel_of(root), "delete_for_good", ana, bruno)
    assert set(User.objects.all()) == {root}


@pytest.mark.parametrize("action", ["suspend", "delete_for_good", "change_role"])
def test_the_last_administrator_is_skipped_and_the_others_are_changed(
    root: User, ana: User, panel_of: Panel, action: str
) -> None:
    client = panel_of(root)
    assert "This is the last active administrator." in choose(client, action, root, ana)
    said = agree(client, action, root, ana, role=str(ana.role_id))
    assert "root@example.com: This is the last active administrator." in said
    assert "Done for 1 user." in said
    root.refresh_from_db()
    assert root.is_active
    assert root.role.is_admin


def test_the_actors_own_account_is_skipped(root: User, person: Callable[..., User], panel_of: Panel) -> None:
    person("rita", role=permissions.ADMIN)
    assert "You can't do this to your own account here." in agree(panel_of(root), "suspend", root)
    root.refresh_from_db()
    assert root.is_active


def test_a_user_with_more_permissions_is_skipped(carla: User, root: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    assert "This user has permissions you don't have." in choose(client, "suspend", root, ana)
    assert "You do not have permission to do this." in agree(client, "suspend", root, ana)
    root.refresh_from_db()
    ana.refresh_from_db()
    assert (root.is_active, ana.is_active) == (True, False)


def test_the_first_of_many_errors_are_shown(carla: User, person: Callable[..., User], panel_of: Panel) -> None:
    admins = [person(f"admin{number}", role=permissions.ADMIN) for number in range(7)]
    said = agree(panel_of(carla), "suspend", *admins)
    assert said.count("You do not have permission to do this.") == 5
    assert "2 more errors are not shown." in said
    assert User.objects.filter(role__name=permissions.ADMIN, is_active=True).count() == 7


def test_a_role_with_more_permissions_is_not_assigned(
    person: Callable[..., User], role: Callable[..., Role], root: User, ana: User, panel_of: Panel
) -> None:
    role("chief", "users.view", "users.change", "roles.assign")
    client = panel_of(person("dora", role="chief"))
    assert "Select a valid choice" in agree(client, "change_role", ana, role=str(root.role_id))
    ana.refresh_from_db()
    assert ana.role.name == permissions.USER


@pytest.mark.parametrize("action", [*ACTIONS, "delete_selected"])
def test_an_action_requires_its_permission(
    person: Callable[..., User], role: Callable[..., Role], ana: User, panel_of: Panel, action: str
) -> None:
    viewer = role("viewer", "users.view")
    agree(panel_of(person("vera", role="viewer")), action, ana, role=str(viewer.pk))
    assert User.objects.get(pk=ana.pk).is_active
    assert changes() == []


def test_djangos_own_deletion_is_not_available(root: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(root)
    assert "delete_selected" not in client.get(LIST).content.decode()
    agree(client, "delete_selected", ana, post="yes")
    assert User.objects.filter(pk=ana.pk).exists()


def test_too_many_users_at_once_are_rejected(
    root: User, ana: User, panel_of: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "LIMIT", 1)
    said = agree(panel_of(root), "suspend", root, ana, select_across="1")
    assert "You can select at most 1." in said
    assert changes() == []
