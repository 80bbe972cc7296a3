"""Long lists: bounded pages, the filtered list as CSV, and how many queries a page takes."""

import csv
import io
from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts import login
from accounts.admin.listing import BoundedPaginator
from accounts.models import AuditEvent, Role, User

Panel = Callable[[User], Client]
LIST = "/admin/accounts/user/"
EXPORT = "/admin/accounts/user/export/"


def exported(client: Client, **query: str) -> list[dict[str, str]]:
    answer = client.get(EXPORT, query)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "no-store" in answer["Cache-Control"]
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


def test_the_filtered_list_is_exported(carla: User, ana: User, bruno: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    assert {row["email"] for row in exported(client)} == {user.email for user in (carla, ana, bruno)}
    assert [row["email"] for row in exported(client, q="ana@exam")] == [ana.email]
    assert [row["email"] for row in exported(client, show="suspended")] == []
    assert "password" not in "".join(exported(client)[0])


def test_the_list_leads_to_its_own_export(carla: User, panel_of: Panel) -> None:
    page = panel_of(carla).get(LIST, {"show": "new", "q": "a"}).content.decode()
    assert f'href="{EXPORT}?show=new&amp;q=a"' in page


def test_an_export_is_recorded_without_what_was_searched(carla: User, ana: User, panel_of: Panel) -> None:
    exported(panel_of(carla), q=ana.email, show="new")
    event = AuditEvent.objects.get(kind="users:exported")
    assert (event.actor_id, event.data) == (carla.pk, {"filters": ["q", "show"]})


def test_a_name_that_a_spreadsheet_would_run_is_mere_text(
    carla: User, person: Callable[..., User], panel_of: Panel
) -> None:
    person("dora", full_name='=HYPERLINK("http://evil.example")')
    assert exported(panel_of(carla), q="dora@")[0]["full_name"] == '\'=HYPERLINK("http://evil.example")'


def test_who_may_not_see_users_exports_none(
    person: Callable[..., User], role: Callable[..., Role], panel_of: Panel
) -> None:
    role("auditor", "audit.view")
    assert panel_of(person("vera", role="auditor")).get(EXPORT).status_code == 403
    assert not AuditEvent.objects.filter(kind="users:exported").exists()


def test_nonsense_filters_export_nothing(carla: User, panel_of: Panel) -> None:
    assert panel_of(carla).get(EXPORT, {"role__id__exact": "x"}).status_code == 302
    assert not AuditEvent.objects.filter(kind="users:exported").exists()


def test_a_list_counts_no_further_than_people_page(
    carla: User, person: Callable[..., User], panel_of: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedPaginator, "bound", 2)
    client = panel_of(carla)
    person("dora")
    assert "2 users" in client.get(LIST).content.decode()
    person("emil")
    assert "The first 2; search or filter to see others." in client.get(LIST).content.decode()


def test_a_longer_list_takes_no_more_queries(
    root: User, person: Callable[..., User], panel_of: Panel, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = panel_of(root)
    for number in range(5):
        login.open_session(person(f"user{number}"))
    for name in ("user", "session", "auditevent", "role"):
        with django_assert_max_num_queries(7):
            client.get(f"/admin/accounts/{name}/")
