"""Roles in the panel: created, changed and deleted, within the permissions of the actor."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts import permissions
from accounts.models import AuditEvent, Role, User

Panel = Callable[[User], Client]
ADD = reverse("admin:accounts_role_add")


@pytest.fixture
def support(role: Callable[..., Role]) -> Role:
    return role("support", "users.view", "users.change", "billing.refund")


@pytest.fixture
def keeper(person: Callable[..., User], role: Callable[..., Role]) -> User:
    """Returns a user who may change roles, and has few other permissions."""
    role("keeper", "roles.view", "roles.change", "users.view")
    return person("kim", role="keeper")


def page(role: Role) -> str:
    return reverse("admin:accounts_role_change", args=[role.pk])


def sent(client: Client, address: str, **form: Any) -> str:
    answer = client.post(address, form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def filled(role: Role, **changes: Any) -> dict[str, Any]:
    """Returns the form as the page shows it, with the changes."""
    granted = [name for name in role.permissions if name in permissions.PERMISSIONS]
    others = [name for name in role.permissions if name not in permissions.PERMISSIONS]
    form = {"name": role.name, "description": role.description, "granted": granted, "others": "\n".join(others)}
    return form | changes


def test_the_page_shows_what_a_role_grants(root: User, support: Role, panel_of: Panel) -> None:
    seen = panel_of(root).get(page(support)).context["adminform"].form
    checked = [box.data["value"] for box in seen["granted"] if box.data["selected"]]
    assert sorted(checked) == ["users.change", "users.view"]
    assert seen["others"].value() == "billing.refund"


def test_another_description_leaves_the_permissions_as_they_are(root: User, support: Role, panel_of: Panel) -> None:
    sent(panel_of(root), page(support), **filled(support, description="Answers tickets"))
    before = support.permissions
    support.refresh_from_db()
    assert (support.description, support.permissions) == ("Answers tickets", before)


def test_permissions_are_granted_and_removed(root: User, support: Role, panel_of: Panel) -> None:
    form = filled(support, granted=["users.view", "audit.view"], others="billing.refund\nblog.write")
    sent(panel_of(root), page(support), **form)
    support.refresh_from_db()
    assert support.permissions == ["audit.view", "billing.refund", "blog.write", "users.view"]
    assert AuditEvent.objects.get(kind="role:changed").actor_id == root.pk


def test_a_role_is_created_and_deleted(root: User, panel_of: Panel) -> None:
    client = panel_of(root)
    sent(client, ADD, name="auditor", granted=["audit.view"])
    auditor = Role.objects.get(name="auditor")
    assert auditor.permissions == ["audit.view"]
    sent(client, reverse("admin:accounts_role_delete", args=[auditor.pk]), post="yes")
    assert not Role.objects.filter(name="auditor").exists()
    assert set(AuditEvent.objects.values_list("kind", flat=True)) >= {"role:created", "role:deleted"}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "Not a name"}, "Use lower case letters"),
        ({"name": "support"}, "A role with this name already exists."),
        ({"name": ""}, "This field is required."),
        ({"others": "users.everything"}, "There is no such permission."),
        ({"others": "users.view"}, "There is no such permission."),
        ({"others": "nonsense"}, "There is no such permission."),
        ({"granted": ["users.everything"]}, "Select a valid choice."),
    ],
)
def test_an_error_is_shown_at_its_field(
    root: User, support: Role, panel_of: Panel, form: dict[str, Any], words: str
) -> None:
    before = Role.objects.count()
    assert words in sent(panel_of(root), ADD, **{"name": "fresh"} | form)
    assert Role.objects.count() == before


def test_an_actor_cannot_grant_a_permission_they_lack(keeper: User, panel_of: Panel) -> None:
    client = panel_of(keeper)
    assert "Select a valid choice." in sent(client, ADD, name="strong", granted=["users.delete"])
    assert "You do not have permission to do this." in sent(client, ADD, name="strong", others="billing.refund")
    assert not Role.objects.filter(name="strong").exists()


def test_a_role_with_more_permissions_is_read_only(keeper: User, support: Role, panel_of: Panel) -> None:
    client = panel_of(keeper)
    assert "billing.refund" in client.get(page(support)).content.decode()
    assert client.post(page(support), filled(support, granted=[])).status_code == 403
    assert client.post(reverse("admin:accounts_role_delete", args=[support.pk]), {"post": "yes"}).status_code == 403
    before = support.permissions
    support.refresh_from_db()
    assert support.permissions == before


def test_descriptions_of_built_in_roles_are_translated_and_stored_in_english(
    root: User, support: Role, panel_of: Panel
) -> None:
    user = Role.objects.get(name=permissions.USER)
    client = panel_of(root)
    spanish = {"Accept-Language": "es"}
    listed = client.get(reverse("admin:accounts_role_changelist"), headers=spanish).content.decode()
    assert "Puede hacerlo todo." in listed
    assert "Todos los que se registran." in listed
    assert (
        "Puede hacerlo todo."
        in client.get(page(Role.objects.get(name=permissions.ADMIN)), headers=spanish).content.decode()
    )
    form = {"description": "Todos los que se registran.", "others": "blog.read"}
    assert form["description"] in client.get(page(user), headers=spanish).content.decode()
    client.post(page(user), filled(user, **form), headers=spanish)
    user.refresh_from_db()
    assert (user.description, user.permissions) == ("Everybody who registers.", ["blog.read"])


def test_the_default_role_cannot_have_usermanagers_own_permissions(root: User, panel_of: Panel) -> None:
    user = Role.objects.get(name=permissions.USER)
    client = panel_of(root)
    assert "granted" not in client.get(page(user)).context["adminform"].form.fields
    sent(client, page(user), **filled(user, granted=["users.view"], others="blog.read"))
    user.refresh_from_db()
    assert user.permissions == ["blog.read"]


def test_more_permissions_than_a_token_can_contain_are_rejected(root: User, support: Role, panel_of: Panel) -> None:
    before = support.permissions
    many = "\n".join(f"app.{'x' * 90}{number}" for number in range(40))
    assert "2000 characters in total" in sent(panel_of(root), page(support), **filled(support, others=many))
    support.refresh_from_db()
    assert support.permissions == before


def test_changing_an_assigned_role_requires_roles_assign(
    person: Callable[..., User], keeper: User, role: Callable[..., Role], panel_of: Panel
) -> None:
    helper = role("helper", "users.view")
    person("hugo", role="helper")
    form = filled(helper, granted=["users.view", "roles.view"])
    assert panel_of(keeper).post(page(helper), form).status_code == 403
    keeper.role.permissions = [*keeper.role.permissions, "roles.assign"]
    keeper.role.save()
    sent(panel_of(keeper), page(helper), **form)
    helper.refresh_from_db()
    assert helper.permissions == ["roles.view", "users.view"]


@pytest.mark.parametrize("name", [permissions.ADMIN, permissions.USER])
def test_a_built_in_role_is_not_deleted(root: User, panel_of: Panel, name: str) -> None:
    role = Role.objects.get(name=name)
    assert (
        panel_of(root).post(reverse("admin:accounts_role_delete", args=[role.pk]), {"post": "yes"}).status_code == 403
    )
    assert Role.objects.filter(name=name).exists()


def test_an_assigned_role_is_not_deleted(root: User, carla: User, panel_of: Panel) -> None:
    address = reverse("admin:accounts_role_delete", args=[carla.role.pk])
    assert "This role is still assigned to at least one user." in sent(panel_of(root), address, post="yes")
    assert Role.objects.filter(pk=carla.role.pk).exists()
