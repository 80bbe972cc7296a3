"""A user's changes to their own account and the data stored in it are limited; the size of an export isn't."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import audit, batches, users
from accounts.api import personal_data
from accounts.audit import log as audit_log
from accounts.errors import Throttled
from accounts.models import AuditEvent, RateBucket, User
from tests.api.requests import events, log_in, post, rows_without_traces
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from usermanager.environment import rate

ME = "/api/v1/users/me/"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def client(ana: User, client_of: Callable[[User], APIClient]) -> APIClient:
    return client_of(ana)


@pytest.fixture
def limited(settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_WRITE, settings.RATE_EXPORT = True, rate("3/1h"), rate("2/1h")


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("path", ["me", "own id"])
def test_changes_of_ones_own_account_are_limited(client: APIClient, ana: User, path: str) -> None:
    path = ME if path == "me" else f"/api/v1/users/{ana.pk}/"
    assert [client.patch(path, {"full_name": str(number)}, "json").status_code for number in range(3)] == [200] * 3
    before = rows_without_traces()
    answer = client.patch(path, {"full_name": "4"}, "json")
    refused(answer, 429, "throttled")
    assert 3500 < int(answer["Retry-After"]) <= 3600
    refused(client.delete(ME, {"current_password": PASSWORD}, format="json"), 429, "throttled")
    email = {"new_email": "ana@new.example", "current_password": PASSWORD}
    refused(post(client, "auth/email/change/", **email), 429, "throttled")
    assert rows_without_traces() == before
    assert client.get(ME).status_code == 200


@pytest.mark.usefixtures("limited")
def test_an_administrators_changes_count_only_on_their_own_account(roots: APIClient, root: User, ana: User) -> None:
    for number in range(5):
        assert roots.patch(f"/api/v1/users/{ana.pk}/", {"full_name": str(number)}, "json").status_code == 200
        assert roots.post(f"/api/v1/users/{ana.pk}/unlock/").status_code == 200
    own = [roots.post(f"/api/v1/users/{root.pk}/unlock/").status_code for _number in range(5)]
    assert own == [200] * 3 + [429] * 2
    with pytest.raises(Throttled):
        users.update(root, actor=root, full_name="by the panel")


@pytest.mark.usefixtures("limited")
def test_an_exhausted_limit_does_not_prevent_ending_sessions_or_a_password_change(client: APIClient) -> None:
    for number in range(4):
        client.patch(ME, {"full_name": str(number)}, "json")
    change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert post(client, "auth/password/change/", **change).status_code == 204
    assert client.delete(f"{ME}sessions/").status_code == 204


@pytest.mark.usefixtures("limited")
def test_requests_that_end_sessions_are_limited_as_well(client: APIClient, settings: Settings) -> None:
    settings.RATE_LOGIN = rate("100/5m")
    answers = []
    for _number in range(5):
        log_in(APIClient())
        sessions = client.get(f"{ME}sessions/").json()["results"]
        other = next(session["id"] for session in sessions if not session["current"])
        answers.append(client.delete(f"{ME}sessions/{other}/").status_code)
    assert answers == [204] * 3 + [429] * 2
    wrong = {"current_password": "wrong", "new_password": OTHER_PASSWORD}
    refused(post(client, "auth/password/change/", **wrong), 429, "throttled")
    assert client.post("/api/v1/auth/logout/all/").status_code == 204


def test_identical_changes_within_a_minute_make_one_event(client: APIClient, ana: User) -> None:
    for number in range(4):
        client.patch(ME, {"full_name": str(number)}, "json")
        client.patch(ME, {"full_name": str(number), "locale": ("en", "es")[number % 2]}, "json")
    client.patch(ME, {"full_name": "3", "locale": "es"}, "json")
    assert events()[1:] == ["user:changed", "user:changed"]
    data = AuditEvent.objects.filter(kind="user:changed").order_by("id").values_list("data", flat=True)
    assert list(data) == [{"fields": ["full_name"]}, {"fields": ["locale"]}]
    users.update(ana, actor=None, full_name="an administrator's")
    client.patch(ME, {"full_name": "elsewhere"}, "json", REMOTE_ADDR="192.0.2.1")
    assert events()[3:] == ["user:changed", "user:changed"]


def test_a_change_that_changes_nothing_writes_nothing(client: APIClient, ana: User) -> None:
    before = User.objects.values().get(), AuditEvent.objects.count()
    assert client.patch(ME, {"full_name": ana.full_name}, "json").status_code == 200
    assert (User.objects.values().get(), AuditEvent.objects.count()) == before


def test_a_minute_later_the_same_change_makes_an_event(
    client: APIClient, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.patch(ME, {"full_name": "1"}, "json")
    monkeypatch.setattr(audit_log, "SAME_CHANGE", audit_log.SAME_CHANGE * 0)
    client.patch(ME, {"full_name": "2"}, "json")
    assert events()[1:] == ["user:changed"] * 2


@pytest.mark.usefixtures("limited")
def test_exports_are_limited(client: APIClient, ana: User) -> None:
    assert client.head(f"{ME}export/").status_code == 200
    assert not RateBucket.objects.exists()
    assert [client.get(f"{ME}export/").status_code for _number in range(3)] == [200, 200, 429]
    assert events().count("user:exported") == 2


@pytest.mark.usefixtures("limited")
def test_exports_of_the_list_in_the_panel_are_limited(root: User) -> None:
    browser = Client()
    browser.post("/admin/login/", {"username": root.email, "password": PASSWORD})
    answers = [browser.get(reverse("admin:accounts_user_export")) for _number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 302]
    assert events().count("users:exported") == 2


def test_a_large_export_is_sent_in_parts_and_holds_every_row_once(
    ana: User, bruno: User, client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit.record_all("login:failed", [ana] * 7, actor=None)
    audit.record_all("user:changed", [bruno] * 7, actor=ana)
    audit.record_all("user:changed", [bruno] * 7, actor=bruno)
    whole = client.get(f"{ME}export/").json()
    monkeypatch.setattr(batches, "PAGE_SIZE", 2)
    monkeypatch.setattr(personal_data, "MAX_UNSTREAMED_BYTES", 10)
    streamed = client.get(f"{ME}export/")
    assert streamed.streaming
    audit.record("user:unlocked", ana, actor=None)  # after it began
    parts = json.loads(streamed.getvalue())
    assert parts.pop("audit")[1:] == whole.pop("audit")
    assert parts == whole


def test_an_export_that_fails_halfway_is_invalid_json(
    database: str, monkeypatch: pytest.MonkeyPatch, client_of: Callable[[User], APIClient]
) -> None:
    ana = users.create("ana@example.com", actor=None, password=PASSWORD)
    client = client_of(ana)
    monkeypatch.setattr(batches, "PAGE_SIZE", 2)
    monkeypatch.setattr(personal_data, "MAX_UNSTREAMED_BYTES", 10)
    chunks = _chunks(client)
    sent = next(chunks)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditevent RENAME TO elsewhere")
    with pytest.raises(DatabaseError):
        sent += b"".join(chunks)
    assert sent
    with pytest.raises(json.JSONDecodeError):
        json.loads(sent)


def test_the_memory_of_an_export_does_not_grow_with_it(ana: User, client: APIClient) -> None:
    """All rows at once take about 30 MiB; a page that is collected late takes as much as several."""
    audit.record_all("user:changed", [ana] * 6000, actor=ana)
    tracemalloc.start()
    try:
        size = sum(len(chunk) for chunk in _chunks(client))
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > MEBIBYTE
    assert peak < 14 * MEBIBYTE


def _chunks(client: APIClient) -> Iterator[bytes]:
    answer: Any = client.get(f"{ME}export/")
    yield from answer.streaming_content
