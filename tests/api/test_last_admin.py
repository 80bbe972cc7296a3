"""An administrator is always left: the last active one can't be deleted, suspended or demoted."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts import users
from accounts.errors import LastAdmin
from accounts.models import AuditEvent, Session, User
from notifications.models import OutboxMail
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

Request = Callable[[APIClient, str], Any]

REMOVALS: dict[str, Request] = {
    "delete": lambda client, path: client.delete(path),
    "leave": lambda client, path: client.delete("/api/v1/users/me/", {"current_password": PASSWORD}, "json"),
    "suspend": lambda client, path: client.post(f"{path}suspend/", {"reason": "Chargeback"}, "json"),
    "suspend for a while": lambda client, path: client.post(f"{path}suspend/", {"until": "2040-01-01T00:00Z"}, "json"),
    "make inactive": lambda client, path: client.patch(path, {"is_active": False}, "json"),
    "give another role": lambda client, path: client.patch(path, {"role": "user"}, "json"),
    "replace": lambda client, path: client.put(path, {"email": "root@example.com", "role": "user"}, "json"),
    "unconfirm": lambda client, path: client.patch(path, {"email_verified": False}, "json"),
    "change the address": lambda client, path: client.patch(path, {"email": "r@example.com"}, "json"),
    "several fields": lambda client, path: client.patch(
        path, {"email": "r@example.com", "is_active": False, "full_name": "R"}, "json"
    ),
}
every_removal = pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)


def rows(user: User) -> list[Any]:
    """Returns everything that must stay unchanged."""
    tables: list[Any] = [User.objects.filter(pk=user.pk), Session.objects.all(), OutboxMail.objects.all()]
    return [[*table.values()] for table in tables]


@every_removal
def test_the_only_admin_stays_an_admin(
    remove: Request, root: User, carla: User, client_of: Callable[[User], APIClient]
) -> None:
    client = client_of(root)
    before, events = rows(root), AuditEvent.objects.count()
    refused(remove(client, f"/api/v1/users/{root.pk}/"), 409, "last_admin")
    assert rows(root) == before
    assert AuditEvent.objects.count() == events


@every_removal
def test_a_suspended_admin_does_not_count(
    remove: Request, root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    person("other", role="admin", is_active=False)
    refused(remove(client_of(root), f"/api/v1/users/{root.pk}/"), 409, "last_admin")
    assert User.objects.get(pk=root.pk).is_active


@every_removal
def test_an_admin_without_a_confirmed_address_does_not_count(
    remove: Request, root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    """They may do nothing until they confirm it."""
    person("other", role="admin", email_verified=False)
    refused(remove(client_of(root), f"/api/v1/users/{root.pk}/"), 409, "last_admin")
    assert User.objects.administrators().get() == root


@every_removal
def test_one_of_two_admins_can_be_removed(
    remove: Request, root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    person("other", role="admin")
    assert remove(client_of(root), f"/api/v1/users/{root.pk}/").status_code in (200, 204)
    assert not User.objects.administrators().filter(pk=root.pk).exists()


def test_the_second_of_two_admins_stays_an_admin(
    root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    other = person("other", role="admin")
    client = client_of(root)
    assert client.post(f"/api/v1/users/{other.pk}/suspend/").status_code == 200
    refused(client.post(f"/api/v1/users/{root.pk}/suspend/"), 409, "last_admin")
    assert client.post(f"/api/v1/users/{other.pk}/activate/").status_code == 200
    assert client.delete(f"/api/v1/users/{root.pk}/").status_code == 204


def test_a_suspended_admin_can_be_deleted_or_demoted(
    root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    client = client_of(root)
    for number, body in enumerate(({"role": "user"}, None)):
        other = person(f"other{number}", role="admin", is_active=False)
        path = f"/api/v1/users/{other.pk}/"
        answer = client.patch(path, body, "json") if body else client.delete(path)
        assert answer.status_code in (200, 204)


@pytest.mark.parametrize(
    "body",
    [{"full_name": "Root"}, {"role": "admin", "is_active": True}, {"email": "r@example.com", "email_verified": True}],
)
def test_other_fields_of_the_only_admin_can_be_changed(
    body: dict[str, Any], root: User, client_of: Callable[[User], APIClient]
) -> None:
    assert client_of(root).patch(f"/api/v1/users/{root.pk}/", body, "json").status_code == 200


def test_a_wrong_password_is_reported_first(root: User, client_of: Callable[[User], APIClient]) -> None:
    answer = client_of(root).delete("/api/v1/users/me/", {"current_password": OTHER_PASSWORD}, "json")
    assert refused(answer, 400, "validation_error")["errors"][0]["code"] == "wrong_password"
    assert User.objects.filter(pk=root.pk).exists()


def test_the_error_is_in_the_language_of_the_request(root: User, client_of: Callable[[User], APIClient]) -> None:
    answer = client_of(root).delete(f"/api/v1/users/{root.pk}/", headers={"Accept-Language": "es"})
    assert refused(answer, 409, "last_admin")["detail"] == "Este es el último administrador activo."


def test_use_cases_without_an_actor_keep_the_last_admin(root: User) -> None:
    for use_case in (users.delete, users.suspend):
        with pytest.raises(LastAdmin):
            use_case(root, actor=None)
    assert User.objects.get(pk=root.pk).is_active
