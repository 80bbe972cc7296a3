"""Somebody who may administer is always left: the last active admin cannot go, be suspended or be demoted."""

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

WAYS: dict[str, Request] = {
    "delete": lambda client, path: client.delete(path),
    "leave": lambda client, path: client.delete("/api/v1/users/me/", {"current_password": PASSWORD}, "json"),
    "suspend": lambda client, path: client.post(f"{path}suspend/", {"reason": "Chargeback"}, "json"),
    "suspend for a while": lambda client, path: client.post(f"{path}suspend/", {"until": "2040-01-01T00:00Z"}, "json"),
    "make inactive": lambda client, path: client.patch(path, {"is_active": False}, "json"),
    "give another role": lambda client, path: client.patch(path, {"role": "user"}, "json"),
    "replace": lambda client, path: client.put(path, {"email": "root@example.com", "role": "user"}, "json"),
    "unconfirm": lambda client, path: client.patch(path, {"email_verified": False}, "json"),
    "move": lambda client, path: client.patch(path, {"email": "r@example.com"}, "json"),
    "with others": lambda client, path: client.patch(
        path, {"email": "r@example.com", "is_active": False, "full_name": "R"}, "json"
    ),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def rows(user: User) -> list[Any]:
    """All that must stand as it stood."""
    tables: list[Any] = [User.objects.filter(pk=user.pk), Session.objects.all(), OutboxMail.objects.all()]
    return [[*table.values()] for table in tables]


@every_way
def test_the_only_admin_stays(way: Request, root: User, carla: User, client_of: Callable[[User], APIClient]) -> None:
    client = client_of(root)
    before, events = rows(root), AuditEvent.objects.count()
    refused(way(client, f"/api/v1/users/{root.pk}/"), 409, "last_admin")
    assert rows(root) == before
    assert AuditEvent.objects.count() == events


@every_way
def test_a_suspended_one_does_not_count(
    way: Request, root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    person("other", role="admin", is_active=False)
    refused(way(client_of(root), f"/api/v1/users/{root.pk}/"), 409, "last_admin")
    assert User.objects.get(pk=root.pk).is_active


@every_way
def test_one_without_a_confirmed_address_does_not_count(
    way: Request, root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    """They may do nothing until they confirm it."""
    person("other", role="admin", email_verified=False)
    refused(way(client_of(root), f"/api/v1/users/{root.pk}/"), 409, "last_admin")
    assert User.objects.administrators().get() == root


@every_way
def test_one_of_two_may_go(
    way: Request, root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    person("other", role="admin")
    assert way(client_of(root), f"/api/v1/users/{root.pk}/").status_code in (200, 204)
    assert not User.objects.administrators().filter(pk=root.pk).exists()


def test_the_second_of_two_stays(
    root: User, person: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    other = person("other", role="admin")
    client = client_of(root)
    assert client.post(f"/api/v1/users/{other.pk}/suspend/").status_code == 200
    refused(client.post(f"/api/v1/users/{root.pk}/suspend/"), 409, "last_admin")
    assert client.post(f"/api/v1/users/{other.pk}/activate/").status_code == 200
    assert client.delete(f"/api/v1/users/{root.pk}/").status_code == 204


def test_an_admin_who_is_suspended_already_may_be_deleted_or_demoted(
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
def test_anything_else_of_the_only_admin_may_change(
    body: dict[str, Any], root: User, client_of: Callable[[User], APIClient]
) -> None:
    assert client_of(root).patch(f"/api/v1/users/{root.pk}/", body, "json").status_code == 200


def test_a_wrong_password_is_told_before(root: User, client_of: Callable[[User], APIClient]) -> None:
    answer = client_of(root).delete("/api/v1/users/me/", {"current_password": OTHER_PASSWORD}, "json")
    assert refused(answer, 400, "validation_error")["errors"][0]["code"] == "wrong_password"
    assert User.objects.filter(pk=root.pk).exists()


def test_it_is_said_in_the_language_of_the_request(root: User, client_of: Callable[[User], APIClient]) -> None:
    answer = client_of(root).delete(f"/api/v1/users/{root.pk}/", headers={"Accept-Language": "es"})
    assert refused(answer, 409, "last_admin")["detail"] == "Este es el último administrador activo."


def test_somebody_at_the_machine_is_no_exception(root: User) -> None:
    for deed in (users.delete, users.suspend):
        with pytest.raises(LastAdmin):
            deed(root, actor=None)
    assert User.objects.get(pk=root.pk).is_active
