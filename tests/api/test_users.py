"""Administrators create, change, suspend and delete users."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts import login, users
from accounts.errors import NotFound
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, Session, User
from notifications.models import OutboxMail, State
from tests.api.requests import at_location
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

USERS = "/api/v1/users/"
LOGIN = "/api/v1/auth/login/"


def pending_emails() -> list[tuple[str, str]]:
    return list(OutboxMail.objects.filter(state=State.PENDING).order_by("id").values_list("kind", "email"))


def field_errors(problem: dict[str, Any]) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in problem["errors"]]


def kinds() -> list[str]:
    return [kind for kind in AuditEvent.objects.order_by("id").values_list("kind", flat=True) if "session" not in kind]


def metadata_of(size: int) -> dict[str, str]:
    """Returns an object whose JSON has this size in bytes."""
    return {"a": "x" * (size - len('{"a": ""}'))}


def test_invalid_names_are_no_role_on_either_database(
    database: str, person: Callable[..., User], role: Callable[..., Role], client_of: Callable[[User], APIClient]
) -> None:
    client, ana = client_of(person("root", role="admin")), person("ana")
    role("5")
    for name in ("\0", "user\0", 5, True, ["user"], {"name": "user"}, "x" * 5000):
        for answer in (
            client.post(USERS, {"email": "dora@example.com", "role": name}, "json"),
            client.patch(f"{USERS}{ana.pk}/", {"role": name}, "json"),
        ):
            assert field_errors(refused(answer, 400, "validation_error")) == [("role", "does_not_exist")]
    assert User.objects.count() == 2
    assert User.objects.get(pk=ana.pk).role.name == "user"


class TestCreating:
    def test_with_a_password_the_user_can_log_in_and_gets_a_welcome(
        self, carlas: APIClient, stranger: APIClient
    ) -> None:
        body = {"email": "Dora@Example.com", "password": PASSWORD, "full_name": "Dora", "locale": "es"}
        answer = carlas.post(USERS, body, "json")
        assert answer.status_code == 201
        made = answer.json()
        assert at_location(carlas, answer) == made
        assert made | {"id": "", "created_at": "", "updated_at": ""} == {
            **{"id": "", "email": "Dora@Example.com", "full_name": "Dora", "role": "user", "is_active": True},
            **{
                "email_verified": False,
                "mfa_enabled": False,
                "locale": "es",
                "metadata": {},
                "created_at": "",
                "updated_at": "",
            },
            "last_login_at": None,
        }
        assert pending_emails() == [("welcome", "Dora@Example.com")]
        assert stranger.post(LOGIN, {"email": "dora@example.com", "password": PASSWORD}, "json").status_code == 200

    def test_without_a_password_the_user_is_invited(self, carlas: APIClient, carla: User) -> None:
        assert carlas.post(USERS, {"email": "dora@example.com"}, "json").status_code == 201
        assert pending_emails() == [("invitation", "dora@example.com")]
        assert kinds() == ["user:created", "user:invited"]
        assert {event.actor_id for event in AuditEvent.objects.filter(kind__startswith="user:")} == {carla.pk}

    def test_a_suspended_user_is_not_invited(self, carlas: APIClient) -> None:
        made = carlas.post(USERS, {"email": "dora@example.com", "is_active": False}, "json").json()
        assert made["is_active"] is False
        assert pending_emails() == []

    def test_all_fields_of_an_administrator_are_set(self, roots: APIClient, role: Callable[..., Role]) -> None:
        role("support", "users.view")
        body = {"role": "support", "email_verified": True, "metadata": {"plan": ["pro", 1, None]}, "locale": None}
        made = roots.post(USERS, {"email": "dora@example.com", **body}, "json").json()
        assert made | body == made

    def test_read_only_fields_are_ignored(self, roots: APIClient) -> None:
        forged = {"id": "01a20945-f308-721a-bebb-44953872b004", "created_at": "2000-01-01T00:00:00Z", "is_staff": True}
        forged |= {"last_login_at": "2000-01-01T00:00:00Z", "email_key": "x", "suspended_until": "2040-01-01T00:00Z"}
        made = roots.post(USERS, {"email": "dora@example.com", "password": PASSWORD, **forged}, "json").json()
        dora = User.objects.get(pk=made["id"])
        assert str(dora.pk) != forged["id"]
        assert (dora.created_at.year > 2000, dora.last_login_at, dora.email_key) == (True, None, "dora@example.com")
        assert not dora.is_staff

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            ({}, [("email", "required")]),
            ({"email": "dora"}, [("email", "invalid")]),
            ({"email": None}, [("email", "null")]),
            ({"email": ["dora@example.com"]}, [("email", "invalid")]),
            ({"email": "ANA@example.com"}, [("email", "unique")]),
            (
                {"email": "dora@example.com", "password": "short"},
                [("password", "password_too_short"), ("password", "password_too_weak")],
            ),
            ({"email": "dora@example.com", "password": "x" * 129}, [("password", "max_length")]),
            ({"email": "dora@example.com", "password": ""}, [("password", "blank")]),
            ({"email": "dora@example.com", "role": "boss"}, [("role", "does_not_exist")]),
            ({"email": "dora@example.com", "role": 5}, [("role", "does_not_exist")]),
            ({"email": "dora@example.com", "is_active": "perhaps"}, [("is_active", "invalid")]),
            ({"email": "dora@example.com", "locale": "fr"}, [("locale", "invalid_choice")]),
            ({"email": "dora@example.com", "full_name": "x" * 151}, [("full_name", "max_length")]),
            ({"email": "dora@example.com", "full_name": "Do\nra"}, [("full_name", "invalid")]),
            ({"email": "dora@example.com", "metadata": []}, [("metadata", "not_a_dict")]),
            ({"email": "dora@example.com", "metadata": None}, [("metadata", "null")]),
            ({"email": "dora@example.com", "metadata": metadata_of(16 * 1024 + 1)}, [("metadata", "too_large")]),
            ({"email": "dora@example.com", "metadata": {"a": "\0"}}, [("metadata", "invalid_text")]),
        ],
    )
    def test_invalid_fields_are_named_and_create_no_user(
        self, roots: APIClient, ana: User, body: dict[str, Any], found: list[tuple[str, str]]
    ) -> None:
        problem = refused(roots.post(USERS, body, "json"), 400, "validation_error")
        assert field_errors(problem) == found
        assert User.objects.count() == 2
        assert pending_emails() == []
        assert kinds() == []

    def test_requires_the_permission(
        self, ana: User, client_of: Callable[[User], APIClient], stranger: APIClient
    ) -> None:
        body = {"email": "dora@example.com", "password": PASSWORD}
        refused(client_of(ana).post(USERS, body, "json"), 403, "permission_denied")
        refused(stranger.post(USERS, body, "json"), 401, "not_authenticated")
        assert User.objects.count() == 1


class TestChanging:
    def test_patch_changes_the_fields_it_names(self, carlas: APIClient, ana: User, path: str) -> None:
        answer = carlas.patch(path, {"full_name": "Ana García", "metadata": {"plan": "pro"}}, "json")
        assert answer.status_code == 200
        changed = User.objects.get(pk=ana.pk)
        assert (changed.full_name, changed.metadata, changed.email) == ("Ana García", {"plan": "pro"}, ana.email)
        assert changed.updated_at > ana.updated_at
        event = AuditEvent.objects.get(kind="user:changed")
        assert event.data == {"fields": ["full_name", "metadata"]}
        assert answer.json() == carlas.get(path).json()

    def test_put_requires_the_address_and_keeps_omitted_fields(self, carlas: APIClient, ana: User, path: str) -> None:
        problem = refused(carlas.put(path, {"full_name": "Ana García"}, "json"), 400, "validation_error")
        assert field_errors(problem) == [("email", "required")]
        assert User.objects.get(pk=ana.pk).full_name == "Ana"
        assert carlas.put(path, {"email": ana.email, "full_name": "Ana García"}, "json").status_code == 200
        changed = User.objects.get(pk=ana.pk)
        assert (changed.full_name, changed.email_verified, changed.role.name) == ("Ana García", True, "user")

    def test_unchanged_values_change_nothing(self, carlas: APIClient, ana: User, path: str) -> None:
        same = {"email": ana.email, "full_name": "Ana", "role": "user", "is_active": True, "email_verified": True}
        assert carlas.put(path, same, "json").status_code == 200
        assert kinds() == []
        assert pending_emails() == []

    def test_is_active_suspends_and_activates(self, carlas: APIClient, ana: User, path: str) -> None:
        login.open_session(ana, proofs.PASSWORD)
        assert carlas.patch(path, {"is_active": False}, "json").json()["is_active"] is False
        assert not Session.objects.active().filter(user=ana).exists()
        assert carlas.patch(path, {"is_active": True}, "json").json()["is_active"] is True
        assert kinds() == ["user:suspended", "user:activated"]

    @pytest.mark.parametrize("size", [16 * 1024, 3])
    def test_metadata_takes_16_kib(self, carlas: APIClient, path: str, size: int) -> None:
        metadata = metadata_of(size) if size > 10 else {"é": "ñ"}
        assert carlas.patch(path, {"metadata": metadata}, "json").json()["metadata"] == metadata

    @pytest.mark.parametrize(
        "metadata", [metadata_of(16 * 1024 + 1), {"a": "ñ" * 8192}, {"a": {"b": "\0"}}, [], "x", 5]
    )
    def test_metadata_rejects_more_than_16_kib_and_invalid_values(
        self, carlas: APIClient, ana: User, path: str, metadata: Any
    ) -> None:
        problem = refused(carlas.patch(path, {"metadata": metadata}, "json"), 400, "validation_error")
        assert field_errors(problem)[0][0] == "metadata"
        assert User.objects.get(pk=ana.pk).metadata == {}

    def test_read_only_fields_are_ignored(self, roots: APIClient, ana: User, path: str) -> None:
        forged = {"id": "x", "password": OTHER_PASSWORD, "created_at": "2000-01-01T00:00:00Z", "last_login_at": None}
        assert roots.patch(path, forged, "json").status_code == 200
        assert User.objects.filter(pk=ana.pk).values().get() == {
            field.attname: getattr(ana, field.attname) for field in User._meta.concrete_fields
        }


FORGED: dict[str, Any] = {
    **{"role": "admin", "is_active": False, "email_verified": False, "metadata": {"plan": "pro"}},
    **{"email": "x@example.com", "password": OTHER_PASSWORD},
}


class TestOnesOwnAccount:
    """Without users.change, fields of administrators are ignored and not validated."""

    @pytest.mark.parametrize(("verb", "way"), [("patch", "me"), ("patch", "id"), ("put", "id")])
    @pytest.mark.parametrize("forged", [FORGED, {"role": "no-such-role", "is_active": "x", "email": 5, "metadata": []}])
    def test_only_own_fields_are_changed(
        self, ana: User, client_of: Callable[[User], APIClient], verb: str, way: str, forged: dict[str, Any]
    ) -> None:
        client = client_of(ana)
        before = User.objects.filter(pk=ana.pk).values().get()
        own = {"full_name": "Ana García", "locale": "es"}
        answer = getattr(client, verb)(f"{USERS}{'me' if way == 'me' else ana.pk}/", {**forged, **own}, "json")
        assert answer.status_code == 200
        after = User.objects.filter(pk=ana.pk).values().get()
        assert after == before | own | {name: after[name] for name in ("updated_at", "search_text")}
        assert answer.json() | own == answer.json()
        assert pending_emails() == []

    def test_users_with_the_permission_may_change_their_own_account_by_id(self, carlas: APIClient, carla: User) -> None:
        answer = carlas.patch(f"{USERS}{carla.pk}/", {"metadata": {"plan": "pro"}, "email_verified": False}, "json")
        assert (answer.json()["metadata"], answer.json()["email_verified"]) == ({"plan": "pro"}, False)

    def test_me_accepts_only_own_fields(self, carlas: APIClient, carla: User) -> None:
        assert carlas.patch(f"{USERS}me/", {"metadata": {"plan": "pro"}}, "json").json()["metadata"] == {}


class TestDeleting:
    def test_leaves_nothing_but_events_without_address_and_device(
        self, carlas: APIClient, carla: User, ana: User, path: str
    ) -> None:
        login.open_session(ana, proofs.PASSWORD)
        carlas.post(f"{path}password-reset/")
        assert carlas.delete(path).status_code == 204
        refused(carlas.get(path), 404, "not_found")
        assert not User.objects.filter(pk=ana.pk).exists()
        assert not Session.objects.filter(user_id=ana.pk).exists()
        assert pending_emails() == []
        event = AuditEvent.objects.get(kind="user:deleted")
        assert (event.user_id, event.actor_id) == (ana.pk, carla.pk)

    def test_frees_the_address(self, carlas: APIClient, ana: User, path: str) -> None:
        carlas.delete(path)
        assert carlas.post(USERS, {"email": ana.email, "password": PASSWORD}, "json").status_code == 201

    def test_ends_their_token_with_the_next_request(
        self, carlas: APIClient, ana: User, path: str, client_of: Callable[[User], APIClient]
    ) -> None:
        client = client_of(ana)
        carlas.delete(path)
        refused(client.get(f"{USERS}me/"), 401, "token_not_valid")

    def test_a_second_time_the_user_is_not_found(self, carlas: APIClient, path: str) -> None:
        carlas.delete(path)
        refused(carlas.delete(path), 404, "not_found")

    def test_deleting_the_own_account_by_id_requires_the_permission(
        self, ana: User, carlas: APIClient, carla: User, client_of: Callable[[User], APIClient]
    ) -> None:
        refused(client_of(ana).delete(f"{USERS}{ana.pk}/"), 403, "permission_denied")
        assert carlas.delete(f"{USERS}{carla.pk}/").status_code == 204
        assert set(User.objects.values_list("pk", flat=True)) == {ana.pk}


def test_a_user_who_was_deleted_meanwhile_is_not_found(ana: User, root: User) -> None:
    """The deletion happens between reading the id and locking the row."""
    users.delete(User.objects.get(pk=ana.pk), actor=root)
    with pytest.raises(NotFound):
        users.update(ana, actor=root, full_name="Ana García")
