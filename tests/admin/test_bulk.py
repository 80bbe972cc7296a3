"""Doing something to several users at once: first a page that says what will happen, then each for themselves."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts import roles
from accounts.admin import confirmation
from accounts.models import AuditEvent, Role, User

Panel = Callable[[User], Client]
LIST = reverse("admin:accounts_user_changelist")
ACTIONS = ("change_role", "suspend", "activate", "delete_for_good")


def choose(client: Client, action: str, *people: User, **form: Any) -> str:
    """What the page says after the action was chosen and, with `confirmed`, agreed to."""
    form |= {"action": action, "_selected_action": [str(user.pk) for user in people]}
    answer = client.post(LIST, form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def agree(client: Client, action: str, *people: User, **form: Any) -> str:
    return choose(client, action, *people, confirmed="yes", **form)


def changes() -> list[str]:
    return list(AuditEvent.objects.exclude(kind="session:opened").order_by("id").values_list("kind", flat=True))


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_happens_before_the_question_is_answered(
    root: User, ana: User, bruno: User, panel_of: Panel, action: str
) -> None:
    page = choose(panel_of(root), action, ana, bruno)
    assert "ana@example.com" in page
    assert "bruno@example.com" in page
    assert changes() == []


def test_several_are_suspended_with_one_reason(root: User, ana: User, bruno: User, panel_of: Panel) -> None:
    assert "Done for 2 users." in agree(panel_of(root), "suspend", ana, bruno, reason="Spam")
    assert not User.objects.filter(pk__in=[ana.pk, bruno.pk], is_active=True).exists()
    events = AuditEvent.objects.filter(kind="user:suspended")
    assert [(event.actor_id, event.data) for event in events] == [(root.pk, {})] * 2
    assert list(User.objects.exclude(pk=root.pk).values_list("suspension_reason", flat=True)) == ["Spam", "Spam"]


def test_several_are_activated(root: User, person: Callable[..., User], panel_of: Panel) -> None:
    people = [person(name, is_active=False) for name in ("dora", "emil")]
    agree(panel_of(root), "activate", *people)
    assert User.objects.filter(pk__in=[user.pk for user in people], is_active=True).count() == 2


def test_several_get_another_role(root: User, ana: User, bruno: User, panel_of: Panel) -> None:
    support = Role.objects.create(name="support", permissions=["users.view"])
    agree(panel_of(root), "change_role", ana, bruno, role=str(support.pk))
    assert set(support.users.all()) == {ana, bruno}
    assert changes() == ["user:role_changed"] * 2


def test_a_role_has_to_be_chosen(root: User, ana: User, panel_of: Panel) -> None:
    assert "This field is required." in agree(panel_of(root), "change_role", ana)
    assert changes() == []


def test_several_are_deleted(root: User, ana: User, bruno: User, panel_of: Panel) -> None:
    agree(panel_of(root), "delete_for_good", ana, bruno)
    assert set(User.objects.all()) == {root}


@pytest.mark.parametrize("action", ["suspend", "delete_for_good", "change_role"])
def test_the_last_admin_stays_and_the_others_do_not(root: User, ana: User, panel_of: Panel, action: str) -> None:
    client = panel_of(root)
    assert "This is the last active administrator." in choose(client, action, root, ana)
    said = agree(client, action, root, ana, role=str(ana.role_id))
    assert "root@example.com: This is the last active administrator." in said
    assert "Done for 1 user." in said
    root.refresh_from_db()
    assert root.is_active
    assert root.role.is_admin


def test_one_does_not_do_it_to_oneself(root: User, person: Callable[..., User], panel_of: Panel) -> None:
    person("rita", role=roles.ADMIN)
    assert "This is you" in agree(panel_of(root), "suspend", root)
    root.refresh_from_db()
    assert root.is_active


def test_who_holds_more_stays_as_they_are(carla: User, root: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    assert "They hold more than you do." in choose(client, "suspend", root, ana)
    assert "You do not have permission to do this." in agree(client, "suspend", root, ana)
    root.refresh_from_db()
    ana.refresh_from_db()
    assert (root.is_active, ana.is_active) == (True, False)


def test_of_many_refusals_the_first_are_told(carla: User, person: Callable[..., User], panel_of: Panel) -> None:
    admins = [person(f"admin{number}", role=roles.ADMIN) for number in range(7)]
    said = agree(panel_of(carla), "suspend", *admins)
    assert said.count("You do not have permission to do this.") == 5
    assert "2 more were refused." in said
    assert User.objects.filter(role__name=roles.ADMIN, is_active=True).count() == 7


def test_a_role_that_holds_more_is_not_given(
    person: Callable[..., User], role: Callable[..., Role], root: User, ana: User, panel_of: Panel
) -> None:
    role("chief", "users.view", "users.change", "roles.assign")
    client = panel_of(person("dora", role="chief"))
    assert "Select a valid choice" in agree(client, "change_role", ana, role=str(root.role_id))
    ana.refresh_from_db()
    assert ana.role.name == roles.USER


@pytest.mark.parametrize("action", [*ACTIONS, "delete_selected"])
def test_who_may_only_look_does_nothing(
    person: Callable[..., User], role: Callable[..., Role], ana: User, panel_of: Panel, action: str
) -> None:
    viewer = role("viewer", "users.view")
    agree(panel_of(person("vera", role="viewer")), action, ana, role=str(viewer.pk))
    assert User.objects.get(pk=ana.pk).is_active
    assert changes() == []


def test_djangos_own_deletion_is_gone(root: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(root)
    assert "delete_selected" not in client.get(LIST).content.decode()
    agree(client, "delete_selected", ana, post="yes")
    assert User.objects.filter(pk=ana.pk).exists()


def test_too_many_at_once_are_refused(root: User, ana: User, panel_of: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmation, "LIMIT", 1)
    said = agree(panel_of(root), "suspend", root, ana, select_across="1")
    assert "At most 1 at once" in said
    assert changes() == []
