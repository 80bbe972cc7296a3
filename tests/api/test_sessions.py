"""Users list and end their own sessions, and those of other users with a permission."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import login, request_context
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, Session, User
from tests.api.requests import events
from tests.conftest import refused

Clients = Callable[[User], APIClient]

ME = "/api/v1/users/me/"
MINE = "/api/v1/users/me/sessions/"
NONE = "01a20945-f308-721a-bebb-44953872b004"


def sign_in(user: User, ip: str = "192.0.2.7", user_agent: str = "phone") -> Session:
    token = request_context.current.set(request_context.RequestContext(ip, user_agent, ""))
    try:
        return login.open_session(user, proofs.PASSWORD)[0]
    finally:
        request_context.current.reset(token)


def client_with(session: Session) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
    return client


def ids(answer: Any) -> list[UUID]:
    assert answer.status_code == 200
    return [UUID(session["id"]) for session in answer.json()["results"]]


def active() -> set[UUID]:
    return set(Session.objects.active().values_list("pk", flat=True))


@pytest.fixture
def phone(ana: User) -> Session:
    return sign_in(ana)


@pytest.fixture
def laptop(ana: User, phone: Session) -> Session:
    return sign_in(ana, "2001:db8::1", "laptop")


@pytest.fixture
def brunos(bruno: User) -> Session:
    return sign_in(bruno)


@pytest.fixture
def holder(person: Callable[..., User], role: Callable[..., Role], client_of: Clients) -> Callable[..., APIClient]:
    """Returns a function that makes the client of a user with exactly these permissions."""

    def make(*permissions: str) -> APIClient:
        role("some", *permissions)
        return client_of(person("sam", role="some"))

    return make


class TestSeeing:
    def test_own_sessions_come_newest_first_with_the_current_one_marked(
        self, phone: Session, laptop: Session, brunos: Session, ana: User
    ) -> None:
        for path in (MINE, f"/api/v1/users/{ana.pk}/sessions/"):
            first, second = client_with(phone).get(path).json()["results"]
            assert (first["id"], first["current"]) == (str(laptop.pk), False)
            assert (second["id"], second["current"]) == (str(phone.pk), True)

    def test_all_fields_are_shown(self, laptop: Session) -> None:
        page = client_with(laptop).get(MINE).json()
        assert list(page) == ["next", "previous", "results"]
        shown = page["results"][0]
        fields = ["id", "created_at", "last_used_at", "expires_at", "ip", "user_agent", "current"]
        assert list(shown) == [*fields, "acr", "amr", "authenticated_at"]
        assert (shown["acr"], shown["amr"], shown["authenticated_at"]) == ("aal1", ["pwd"], shown["created_at"])
        assert (shown["ip"], shown["user_agent"]) == ("2001:db8::1", "laptop")
        assert shown["expires_at"] == laptop.idle_expires_at.isoformat().replace("+00:00", "Z")

    @pytest.mark.parametrize("ended", ["revoked_at", "expires_at", "idle_expires_at"])
    def test_only_active_sessions_are_shown(self, phone: Session, laptop: Session, ended: str) -> None:
        Session.objects.filter(pk=laptop.pk).update(**{ended: timezone.now() - timedelta(seconds=1)})
        assert ids(client_with(phone).get(MINE)) == [phone.pk]

    def test_sessions_come_in_pages(self, ana: User) -> None:
        opened = [sign_in(ana) for _number in range(3)]
        client = client_with(opened[0])
        page = client.get(MINE, {"page_size": "2", "count": "true"}).json()
        assert (page["count"], page["previous"]) == (3, None)
        rest = client.get(page["next"])
        assert ids(rest) == [opened[0].pk]
        assert rest.json()["results"][0]["current"] is True

    def test_sessions_of_other_users_require_the_permission_and_none_is_current(
        self, phone: Session, ana: User, holder: Callable[..., APIClient]
    ) -> None:
        (shown,) = holder("sessions.view").get(f"/api/v1/users/{ana.pk}/sessions/").json()["results"]
        assert (shown["id"], shown["current"]) == (str(phone.pk), False)


class TestEndingOne:
    def test_an_own_session_ends_its_tokens_from_the_next_request_on(self, phone: Session, laptop: Session) -> None:
        there = client_with(laptop)
        assert client_with(phone).delete(f"{MINE}{laptop.pk}/").status_code == 204
        refused(there.get(ME), 401, "token_not_valid")
        assert active() == {phone.pk}
        event = AuditEvent.objects.get(kind="session:closed")
        assert (event.user_id, event.actor_id) == (phone.user_id, phone.user_id)
        assert event.data == {"session": str(laptop.pk)}

    def test_may_be_the_current_one(self, phone: Session, laptop: Session) -> None:
        client = client_with(phone)
        assert client.delete(f"{MINE}{phone.pk}/").status_code == 204
        refused(client.get(ME), 401, "token_not_valid")
        assert active() == {laptop.pk}

    def test_a_session_of_another_user_ends_at_their_path_with_the_permission(
        self, phone: Session, laptop: Session, ana: User, holder: Callable[..., APIClient]
    ) -> None:
        client = holder("sessions.revoke")
        assert client.delete(f"/api/v1/users/{ana.pk}/sessions/{laptop.pk}/").status_code == 204
        assert active() >= {phone.pk}
        assert laptop.pk not in active()
        event = AuditEvent.objects.get(kind="session:revoked")
        assert (event.user_id, event.actor_id == ana.pk) == (ana.pk, False)

    def test_it_is_not_found_at_the_path_of_another_user(
        self, phone: Session, brunos: Session, bruno: User, root: User, client_of: Clients
    ) -> None:
        refused(client_with(phone).delete(f"{MINE}{brunos.pk}/"), 404, "not_found")
        refused(client_of(root).delete(f"/api/v1/users/{bruno.pk}/sessions/{phone.pk}/"), 404, "not_found")
        assert active() >= {phone.pk, brunos.pk}

    def test_ids_mean_the_same_in_capitals(self, phone: Session, laptop: Session, ana: User) -> None:
        path = f"/api/v1/users/{str(ana.pk).upper()}/sessions/{str(laptop.pk).upper()}/"
        assert client_with(phone).delete(path).status_code == 204
        assert active() == {phone.pk}

    def test_a_second_time_it_is_not_found(self, phone: Session, laptop: Session) -> None:
        client = client_with(phone)
        client.delete(f"{MINE}{laptop.pk}/")
        refused(client.delete(f"{MINE}{laptop.pk}/"), 404, "not_found")
        assert events().count("session:closed") == 1

    @pytest.mark.parametrize("session_id", [NONE, "x", "0", "%00", "me"])
    def test_an_unknown_session_is_not_found(self, phone: Session, session_id: str) -> None:
        refused(client_with(phone).delete(f"{MINE}{session_id}/"), 404, "not_found")
        assert active() == {phone.pk}


class TestEndingAll:
    def test_all_own_sessions_end_including_the_current_one(
        self, phone: Session, laptop: Session, brunos: Session
    ) -> None:
        client = client_with(phone)
        assert client.delete(MINE).status_code == 204
        refused(client.get(ME), 401, "token_not_valid")
        assert active() == {brunos.pk}
        assert AuditEvent.objects.get(kind="session:all_revoked").data == {"sessions": 2}

    def test_all_sessions_of_another_user_end_with_the_permission(
        self, phone: Session, laptop: Session, brunos: Session, ana: User, holder: Callable[..., APIClient]
    ) -> None:
        client = holder("sessions.revoke")
        assert client.delete(f"/api/v1/users/{ana.pk}/sessions/").status_code == 204
        assert not active() & {phone.pk, laptop.pk}
        assert brunos.pk in active()
        assert client.get(ME).status_code == 200

    def test_a_user_without_sessions_gets_the_same_response(self, ana: User, holder: Callable[..., APIClient]) -> None:
        assert holder("sessions.revoke").delete(f"/api/v1/users/{ana.pk}/sessions/").status_code == 204
        assert "session:all_revoked" not in events()


class TestPermissions:
    def test_viewing_and_revoking_are_separate_permissions(
        self, phone: Session, ana: User, person: Callable[..., User], role: Callable[..., Role], client_of: Clients
    ) -> None:
        role("viewer", "sessions.view", "users.view")
        role("ender", "sessions.revoke", "users.view")
        path = f"/api/v1/users/{ana.pk}/sessions/"
        viewer, ender = client_of(person("vera", role="viewer")), client_of(person("emil", role="ender"))
        refused(viewer.delete(path), 403, "permission_denied")
        refused(viewer.delete(f"{path}{phone.pk}/"), 403, "permission_denied")
        refused(ender.get(path), 403, "permission_denied")
        assert phone.pk in active()

    def test_a_user_without_permissions_gets_404_for_existing_and_unknown_users(
        self, phone: Session, brunos: Session, bruno: User
    ) -> None:
        client = client_with(phone)
        same = {"X-Request-ID": "same"}
        for session_id in (f"{brunos.pk}/", ""):
            answers = [
                client.delete(f"/api/v1/users/{user_id}/sessions/{session_id}", headers=same)
                for user_id in (bruno.pk, NONE)
            ]
            refused(answers[0], 404, "not_found")
            assert answers[0].content == answers[1].content
        assert active() == {phone.pk, brunos.pk}

    def test_a_user_cannot_sign_out_one_who_holds_more(self, root: User, holder: Callable[..., APIClient]) -> None:
        roots, client = sign_in(root), holder("sessions.view", "sessions.revoke", "users.view")
        path = f"/api/v1/users/{root.pk}/sessions/"
        refused(client.delete(f"{path}{roots.pk}/"), 403, "permission_denied")
        refused(client.delete(path), 403, "permission_denied")
        assert ids(client.get(path)) == [roots.pk]

    def test_clients_that_are_not_signed_in_are_rejected(self, stranger: APIClient, phone: Session, ana: User) -> None:
        for path in (MINE, f"/api/v1/users/{ana.pk}/sessions/"):
            refused(stranger.get(path), 401, "not_authenticated")
            refused(stranger.delete(path), 401, "not_authenticated")
            refused(stranger.delete(f"{path}{phone.pk}/"), 401, "not_authenticated")
        assert active() == {phone.pk}
