"""The audit trail: each action writes events with actor, user and client, and only permitted users read them."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from rest_framework.test import APIClient

from accounts import audit, login, users
from accounts.audit import chain
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, User
from tests.api.audited_actions import AUDITED_ACTIONS
from tests.api.requests import API, post, receive_token
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

Clients = Callable[[User], APIClient]

AUDIT = f"{API}audit/"
UNKNOWN_ID = "01a20945-f308-721a-bebb-44953872b004"
FROM = {"X-Request-ID": "trace-1", "User-Agent": "Device/1"}
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def event() -> Callable[..., AuditEvent]:
    """Records something: event("user:changed", ana, actor=root, at=NOON)."""

    def make(kind: str, user: User, *, actor: User | None = None, at: datetime = NOON) -> AuditEvent:
        made = AuditEvent(kind=kind, user_id=user.pk, actor_id=actor.pk if actor else None, created_at=at)
        chain.append([made])
        return made

    return make


def listed(client: APIClient, path: str = AUDIT, **query: str) -> list[str]:
    answer = client.get(path, query)
    assert answer.status_code == 200, answer.content
    return [event["kind"] for event in answer.json()["results"]]


class TestRecording:
    @pytest.fixture
    def cast(self, ana: User, root: User, person: Callable[..., User], role: Callable[..., Role]) -> dict[str, User]:
        role("spare")
        asleep, invited = person("eva", is_active=False), users.create("ida@example.com", actor=None)
        return {"ana": ana, "root": root, "eva": asleep, "ida": invited}

    @pytest.mark.parametrize("name", AUDITED_ACTIONS)
    def test_each_action_records_its_events(self, name: str, cast: dict[str, User], client_of: Clients) -> None:
        action = AUDITED_ACTIONS[name]
        login.open_session(cast["ana"], proofs.PASSWORD)
        client = client_of(cast[action.sender]) if action.sender else APIClient()
        ids = {name: user.pk for name, user in cast.items()}
        before = set(AuditEvent.objects.values_list("pk", flat=True))
        path = API + action.path.format(**ids)
        answer = getattr(client, action.verb)(path, action.body, "json", headers=FROM, REMOTE_ADDR="192.0.2.7")
        assert answer.status_code < 300 or "fail" in name or "guess" in name, answer.content
        found = AuditEvent.objects.exclude(pk__in=before).order_by("id")
        names = {pk: name for name, pk in ids.items()} | {None: ""}
        names |= {user.pk: "dora" for user in User.objects.filter(email="dora@example.com")}
        recorded = [(one.kind, names[one.user_id], names[one.actor_id]) for one in found]
        assert [one for one in recorded if one in action.events] == action.events
        assert {kind for kind, _user, _actor in recorded} <= {kind for kind, _user, _actor in action.events} | {
            "session:all_revoked"
        }
        assert {(one.ip, one.user_agent, one.request_id) for one in found} == {("192.0.2.7", "Device/1", "trace-1")}

    def test_rejected_requests_record_no_event(self, ana: User, bruno: User, client_of: Clients) -> None:
        client = client_of(ana)
        before = AuditEvent.objects.count()
        client.delete(f"{API}users/{bruno.pk}/")
        client.patch(f"{API}users/{ana.pk}/", {"full_name": "x" * 151}, "json")
        client.post(f"{API}roles/", {"name": "new"}, "json")
        assert AuditEvent.objects.count() == before

    def test_emailed_links_record_their_events(self, ana: User, stranger: APIClient) -> None:
        post(stranger, "auth/password/reset/", email=ana.email)
        token = receive_token("password_reset")
        post(stranger, "auth/password/reset/confirm/", token=token, new_password=OTHER_PASSWORD)
        users.create("dora@example.com", actor=None)
        post(stranger, "auth/invitation/accept/", token=receive_token("invitation"), password=PASSWORD)
        post(stranger, "auth/register/", email="emil@example.com", password=PASSWORD)
        post(stranger, "auth/email/verify/", token=receive_token("welcome"))
        kinds = [(one.kind, one.actor_id == one.user_id) for one in AuditEvent.objects.order_by("id")]
        assert ("password:reset", True) in kinds
        assert ("user:invitation_accepted", True) in kinds
        assert ("email:verified", True) in kinds

    def test_no_event_holds_an_address_a_name_or_a_password(self, ana: User, root: User, client_of: Clients) -> None:
        client = client_of(root)
        body = {"email": "ana@new.example", "full_name": "Ana Secret", "metadata": {"plan": "Secret"}}
        client.patch(f"{API}users/{ana.pk}/", body, "json")
        post(APIClient(), "auth/login/", email="ana@new.example", password="Secret")
        written = str(list(AuditEvent.objects.values_list("data", flat=True)))
        assert "ecret" not in written
        assert "@" not in written

    def test_an_unknown_kind_is_a_programming_error(self, ana: User) -> None:
        with pytest.raises(ValueError, match="user:danced"):
            audit.record("user:danced", ana, actor=None)
        assert not AuditEvent.objects.exists()


class TestReading:
    @pytest.fixture
    def cast(self, ana: User, bruno: User) -> dict[str, User]:
        return {"ana": ana, "bruno": bruno}

    def test_events_come_newest_first_with_all_fields(self, roots: APIClient, ana: User, root: User) -> None:
        roots.post(f"{API}users/{ana.pk}/suspend/", {"reason": "Chargeback"}, "json", headers=FROM)
        page = roots.get(AUDIT).json()
        assert list(page) == ["next", "previous", "results"]
        shown = page["results"][0]
        keys = ["id", "kind", "user", "actor", "created_at", "ip", "user_agent", "request_id", "data"]
        assert list(shown) == keys
        assert shown | {"id": "", "created_at": ""} == {
            **{"id": "", "kind": "user:suspended", "user": str(ana.pk), "actor": str(root.pk), "created_at": ""},
            **{"ip": "127.0.0.1", "user_agent": "Device/1", "request_id": "trace-1", "data": {}},
        }

    @pytest.mark.parametrize(
        ("query", "kinds"),
        [
            ({"kind": "user:changed"}, ["user:changed", "user:changed"]),
            ({"user": "ana"}, ["user:changed", "user:created"]),
            ({"actor": "bruno"}, ["user:changed", "user:changed"]),
            ({"user": "ana", "actor": "bruno"}, ["user:changed"]),
            ({"kind": "user:created", "actor": "bruno"}, []),
            ({"after": "2026-01-31T12:00:00Z"}, ["user:changed", "user:changed"]),
            ({"before": "2026-01-31T13:00:01+01:00"}, ["user:created"]),
            ({"after": "2026-01-31T12:30:00Z", "before": "2026-01-31T13:30:00Z"}, ["user:changed"]),
            ({"user": "unknown"}, []),
        ],
    )
    def test_filters_work_alone_and_together(
        self,
        cast: dict[str, User],
        roots: APIClient,
        event: Callable[..., AuditEvent],
        query: dict[str, str],
        kinds: list[str],
    ) -> None:
        event("user:created", cast["ana"], actor=cast["ana"])
        event("user:changed", cast["ana"], actor=cast["bruno"], at=NOON.replace(hour=13))
        event("user:changed", cast["bruno"], actor=cast["bruno"], at=NOON.replace(hour=14))
        ids = {name: str(user.pk) for name, user in cast.items()} | {"unknown": UNKNOWN_ID}
        query = {name: ids.get(value, value) for name, value in query.items()}
        found = [kind for kind in listed(roots, **query) if kind != "session:opened"]
        assert found == kinds

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("kind", "user:danced"),
            ("kind", "user"),
            ("user", "ana"),
            ("actor", "0"),
            ("after", "noon"),
            ("before", "x"),
        ],
    )
    def test_an_invalid_filter_is_rejected_and_named(self, roots: APIClient, root: User, name: str, value: str) -> None:
        for path in (AUDIT, f"{API}users/me/audit/"):
            problem = refused(roots.get(path, {name: value}), 400, "validation_error")
            assert [error["field"] for error in problem["errors"]] == [name]

    def test_pages_contain_each_event_once(self, roots: APIClient, ana: User, event: Callable[..., AuditEvent]) -> None:
        made = [event("user:changed", ana) for _number in range(5)]
        query = {"kind": "user:changed", "page_size": "2", "count": "true"}
        pages = [roots.get(AUDIT, query).json()]
        while pages[-1]["next"]:
            pages.append(roots.get(pages[-1]["next"]).json())
        ids = [one["id"] for page in pages for one in page["results"]]
        assert ids == [str(one.pk) for one in reversed(made)]
        assert {page["count"] for page in pages} == {5}
        assert roots.get(pages[-1]["previous"]).json()["results"] == pages[1]["results"]

    @pytest.mark.parametrize("ordering", ["kind", "ip", "-id", "user"])
    def test_other_orderings_are_rejected(self, roots: APIClient, ordering: str) -> None:
        refused(roots.get(AUDIT, {"ordering": ordering}), 400, "validation_error")


class TestPermissions:
    def test_users_read_the_events_of_their_own_account(self, ana: User, bruno: User, client_of: Clients) -> None:
        client = client_of(ana)
        users.update(ana, actor=None, full_name="Ana G.")
        users.update(bruno, actor=None, full_name="Bruno B.")
        for path in (f"{API}users/me/audit/", f"{API}users/{ana.pk}/audit/"):
            assert listed(client, path) == ["user:changed", "session:opened"]
            assert listed(client, path, kind="user:changed") == ["user:changed"]
            assert listed(client, path, user=str(bruno.pk)) == []

    def test_users_do_not_see_ip_address_and_device_of_other_actors(
        self, roots: APIClient, root: User, ana: User, client_of: Clients
    ) -> None:
        roots.post(f"{API}users/{ana.pk}/unlock/", headers=FROM)
        client = client_of(ana)
        client.patch(f"{API}users/me/", {"full_name": "Ana G."}, "json", headers=FROM)
        for path in (f"{API}users/me/audit/", f"{API}users/{ana.pk}/audit/", f"{API}users/me/export/"):
            answer = client.get(path).json()
            events = {one["kind"]: one for one in answer.get("results") or answer["audit"]}
            assert (events["user:unlocked"]["ip"], events["user:unlocked"]["user_agent"]) == (None, "")
            assert events["user:unlocked"]["actor"] == str(root.pk)
            assert (events["user:changed"]["ip"], events["user:changed"]["user_agent"]) == ("127.0.0.1", "Device/1")
        [unlocked] = roots.get(AUDIT, {"kind": "user:unlocked"}).json()["results"]
        assert (unlocked["ip"], unlocked["user_agent"]) == ("127.0.0.1", "Device/1")

    def test_reading_the_events_of_others_requires_the_permission(
        self, ana: User, carla: User, person: Callable[..., User], role: Callable[..., Role], client_of: Clients
    ) -> None:
        users.update(ana, actor=None, full_name="Ana G.")
        role("auditor", "audit.view")
        auditor = client_of(person("arno", role="auditor"))
        assert listed(auditor, f"{API}users/{ana.pk}/audit/") == ["user:changed"]
        assert "user:changed" in listed(auditor)
        refused(client_of(carla).get(f"{API}users/{ana.pk}/audit/"), 403, "permission_denied")
        refused(client_of(carla).get(AUDIT), 403, "permission_denied")

    def test_users_without_the_permission_get_404_for_existing_and_unknown_users(
        self, ana: User, bruno: User, client_of: Clients, stranger: APIClient
    ) -> None:
        client = client_of(ana)
        same = {"X-Request-ID": "same"}
        answers = [client.get(f"{API}users/{user_id}/audit/", headers=same) for user_id in (bruno.pk, UNKNOWN_ID)]
        refused(answers[0], 404, "not_found")
        assert answers[0].content == answers[1].content
        refused(client.get(AUDIT), 403, "permission_denied")
        refused(stranger.get(AUDIT), 401, "not_authenticated")
        refused(stranger.get(f"{API}users/me/audit/"), 401, "not_authenticated")

    @pytest.mark.parametrize("verb", ["post", "put", "patch", "delete"])
    def test_events_are_read_only(self, roots: APIClient, verb: str) -> None:
        event = AuditEvent.objects.latest("id")
        for path in (AUDIT, f"{AUDIT}{event.pk}/", f"{API}users/me/audit/"):
            assert getattr(roots, verb)(path, {"kind": "user:changed"}, "json").status_code in (404, 405)
        assert AuditEvent.objects.count() == 1


class TestDeletedUsers:
    def test_are_shown_by_id_without_ip_address_and_device(self, roots: APIClient, root: User, ana: User) -> None:
        client = APIClient()
        credentials = {"email": ana.email, "password": PASSWORD}
        client.post(f"{API}auth/login/", credentials, "json", headers=FROM, REMOTE_ADDR="192.0.2.7")
        roots.post(f"{API}users/{ana.pk}/unlock/", headers=FROM)
        roots.delete(f"{API}users/{ana.pk}/", headers=FROM)
        shown = {one["kind"]: one for one in roots.get(AUDIT, {"user": str(ana.pk)}).json()["results"]}
        assert set(shown) == {"session:opened", "user:unlocked", "user:deleted"}
        assert [shown["session:opened"][name] for name in ("ip", "user_agent", "request_id")] == [None, "", ""]
        assert shown["session:opened"]["actor"] == str(ana.pk)
        for kind in ("user:unlocked", "user:deleted"):
            assert (shown[kind]["ip"], shown[kind]["user_agent"]) == ("127.0.0.1", "Device/1"), (
                "root's, who still exists"
            )
        refused(roots.get(f"{API}users/{ana.pk}/audit/"), 404, "not_found")
