"""The audit trail: each deed leaves its events with who, to whom, from where, and they are read by whoever may."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from rest_framework.test import APIClient

from accounts import audit, audit_chain, login, users
from accounts.models import AuditEvent, Role, User
from tests.api.conversation import API, mailed, post
from tests.api.deeds import DEEDS
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

Clients = Callable[[User], APIClient]

AUDIT = f"{API}audit/"
NOBODY = "01a20945-f308-721a-bebb-44953872b004"
FROM = {"X-Request-ID": "trace-1", "User-Agent": "Device/1"}
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def event() -> Callable[..., AuditEvent]:
    """Records something: event("user:changed", ana, actor=root, at=NOON)."""

    def make(kind: str, user: User, *, actor: User | None = None, at: datetime = NOON) -> AuditEvent:
        made = AuditEvent(kind=kind, user_id=user.pk, actor_id=actor.pk if actor else None, created_at=at)
        audit_chain.append([made])
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

    @pytest.mark.parametrize("name", DEEDS)
    def test_each_deed_leaves_its_events(self, name: str, cast: dict[str, User], client_of: Clients) -> None:
        deed = DEEDS[name]
        login.open_session(cast["ana"])
        client = client_of(cast[deed.sender]) if deed.sender else APIClient()
        ids = {name: user.pk for name, user in cast.items()}
        before = set(AuditEvent.objects.values_list("pk", flat=True))
        path = API + deed.path.format(**ids)
        answer = getattr(client, deed.verb)(path, deed.body, "json", headers=FROM, REMOTE_ADDR="192.0.2.7")
        assert answer.status_code < 300 or "fail" in name or "guess" in name, answer.content
        found = AuditEvent.objects.exclude(pk__in=before).order_by("id")
        who = {pk: name for name, pk in ids.items()} | {None: ""}
        who |= {user.pk: "dora" for user in User.objects.filter(email="dora@example.com")}
        left = [(one.kind, who[one.user_id], who[one.actor_id]) for one in found]
        assert [one for one in left if one in deed.events] == deed.events
        assert {kind for kind, _user, _actor in left} <= {kind for kind, _user, _actor in deed.events} | {
            "session:all_revoked"
        }
        assert {(one.ip, one.user_agent, one.request_id) for one in found} == {("192.0.2.7", "Device/1", "trace-1")}

    def test_what_is_refused_is_no_deed(self, ana: User, bruno: User, client_of: Clients) -> None:
        client = client_of(ana)
        before = AuditEvent.objects.count()
        client.delete(f"{API}users/{bruno.pk}/")
        client.patch(f"{API}users/{ana.pk}/", {"full_name": "x" * 151}, "json")
        client.post(f"{API}roles/", {"name": "new"}, "json")
        assert AuditEvent.objects.count() == before

    def test_mailed_links_leave_theirs(self, ana: User, stranger: APIClient) -> None:
        post(stranger, "auth/password/reset/", email=ana.email)
        token = mailed("password_reset")
        post(stranger, "auth/password/reset/confirm/", token=token, new_password=OTHER_PASSWORD)
        users.create("dora@example.com", actor=None)
        post(stranger, "auth/invitation/accept/", token=mailed("invitation"), password=PASSWORD)
        post(stranger, "auth/register/", email="emil@example.com", password=PASSWORD)
        post(stranger, "auth/email/verify/", token=mailed("welcome"))
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

    def test_an_unknown_kind_is_a_fault_of_ours(self, ana: User) -> None:
        with pytest.raises(ValueError, match="user:danced"):
            audit.record("user:danced", ana, actor=None)
        assert not AuditEvent.objects.exists()


class TestReading:
    @pytest.fixture
    def cast(self, ana: User, bruno: User) -> dict[str, User]:
        return {"ana": ana, "bruno": bruno}

    def test_newest_first_in_their_shape(self, roots: APIClient, ana: User, root: User) -> None:
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
            ({"user": "nobody"}, []),
        ],
    )
    def test_filters_alone_and_together(
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
        ids = {name: str(user.pk) for name, user in cast.items()} | {"nobody": NOBODY}
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
    def test_an_unknown_value_is_refused_and_named(self, roots: APIClient, root: User, name: str, value: str) -> None:
        for path in (AUDIT, f"{API}users/me/audit/"):
            problem = refused(roots.get(path, {name: value}), 400, "validation_error")
            assert [error["field"] for error in problem["errors"]] == [name]

    def test_pages_lie_side_by_side(self, roots: APIClient, ana: User, event: Callable[..., AuditEvent]) -> None:
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
    def test_no_other_ordering(self, roots: APIClient, ordering: str) -> None:
        refused(roots.get(AUDIT, {"ordering": ordering}), 400, "validation_error")


class TestWho:
    def test_everybody_reads_what_happened_to_them(self, ana: User, bruno: User, client_of: Clients) -> None:
        client = client_of(ana)
        users.update(ana, actor=None, full_name="Ana G.")
        users.update(bruno, actor=None, full_name="Bruno B.")
        for path in (f"{API}users/me/audit/", f"{API}users/{ana.pk}/audit/"):
            assert listed(client, path) == ["user:changed", "session:opened"]
            assert listed(client, path, kind="user:changed") == ["user:changed"]
            assert listed(client, path, user=str(bruno.pk)) == []

    def test_but_not_from_where_somebody_else_did_it(
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

    def test_and_of_others_with_the_permission(
        self, ana: User, carla: User, person: Callable[..., User], role: Callable[..., Role], client_of: Clients
    ) -> None:
        users.update(ana, actor=None, full_name="Ana G.")
        role("auditor", "audit.view")
        auditor = client_of(person("arno", role="auditor"))
        assert listed(auditor, f"{API}users/{ana.pk}/audit/") == ["user:changed"]
        assert "user:changed" in listed(auditor)
        refused(client_of(carla).get(f"{API}users/{ana.pk}/audit/"), 403, "permission_denied")
        refused(client_of(carla).get(AUDIT), 403, "permission_denied")

    def test_who_may_not_cannot_tell_whether_there_is_somebody(
        self, ana: User, bruno: User, client_of: Clients, stranger: APIClient
    ) -> None:
        client = client_of(ana)
        same = {"X-Request-ID": "same"}
        answers = [client.get(f"{API}users/{user_id}/audit/", headers=same) for user_id in (bruno.pk, NOBODY)]
        refused(answers[0], 404, "not_found")
        assert answers[0].content == answers[1].content
        refused(client.get(AUDIT), 403, "permission_denied")
        refused(stranger.get(AUDIT), 401, "not_authenticated")
        refused(stranger.get(f"{API}users/me/audit/"), 401, "not_authenticated")

    @pytest.mark.parametrize("verb", ["post", "put", "patch", "delete"])
    def test_nobody_writes(self, roots: APIClient, verb: str) -> None:
        event = AuditEvent.objects.latest("id")
        for path in (AUDIT, f"{AUDIT}{event.pk}/", f"{API}users/me/audit/"):
            assert getattr(roots, verb)(path, {"kind": "user:changed"}, "json").status_code in (404, 405)
        assert AuditEvent.objects.count() == 1


class TestWhoIsGone:
    def test_stays_as_an_id_without_address_and_device(self, roots: APIClient, root: User, ana: User) -> None:
        client = APIClient()
        tried = {"email": ana.email, "password": PASSWORD}
        client.post(f"{API}auth/login/", tried, "json", headers=FROM, REMOTE_ADDR="192.0.2.7")
        roots.post(f"{API}users/{ana.pk}/unlock/", headers=FROM)
        roots.delete(f"{API}users/{ana.pk}/", headers=FROM)
        shown = {one["kind"]: one for one in roots.get(AUDIT, {"user": str(ana.pk)}).json()["results"]}
        assert set(shown) == {"session:opened", "user:unlocked", "user:deleted"}
        assert [shown["session:opened"][name] for name in ("ip", "user_agent", "request_id")] == [None, "", ""]
        assert shown["session:opened"]["actor"] == str(ana.pk)
        for kind in ("user:unlocked", "user:deleted"):
            assert (shown[kind]["ip"], shown[kind]["user_agent"]) == ("127.0.0.1", "Device/1"), "root's, who stays"
        refused(roots.get(f"{API}users/{ana.pk}/audit/"), 404, "not_found")
