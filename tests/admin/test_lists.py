"""Long lists: bounded pages, the filtered list as CSV, and how many queries a page takes."""

import csv
import io
from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts import login
from accounts.admin.changelist import BoundedPaginator
from accounts.mfa import proofs
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


def test_the_list_links_to_the_export_with_its_filters(carla: User, panel_of: Panel) -> None:
    page = panel_of(carla).get(LIST, {"show": "new", "q": "a"}).content.decode()
    assert f'href="{EXPORT}?show=new&amp;q=a"' in page


def test_an_export_is_audited_without_the_search_terms(carla: User, ana: User, panel_of: Panel) -> None:
    exported(panel_of(carla), q=ana.email, show="new")
    event = AuditEvent.objects.get(kind="users:exported")
    assert (event.actor_id, event.data) == (carla.pk, {"filters": ["q", "show"]})


def test_a_formula_in_a_name_is_exported_as_text(carla: User, person: Callable[..., User], panel_of: Panel) -> None:
    person("dora", full_name='=HYPERLINK("http://evil.example")')
    assert exported(panel_of(carla), q="dora@")[0]["full_name"] == '\'=HYPERLINK("http://evil.example")'


def test_an_export_requires_users_view(person: Callable[..., User], role: Callable[..., Role], panel_of: Panel) -> None:
    role("auditor", "audit.view")
    assert panel_of(person("vera", role="auditor")).get(EXPORT).status_code == 403
    assert not AuditEvent.objects.filter(kind="users:exported").exists()


def test_invalid_filters_export_nothing(carla: User, panel_of: Panel) -> None:
    assert panel_of(carla).get(EXPORT, {"role__id__exact": "x"}).status_code == 302
    assert not AuditEvent.objects.filter(kind="users:exported").exists()


def test_a_list_counts_up_to_its_bound(
    carla: User, person: Callable[..., User], panel_of: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedPaginator, "bound", 2)
    client = panel_of(carla)
    person("dora")
    assert "2 users" in client.get(LIST).content.decode()
    person("emil")
    assert "The first 2. Search or filter to see others." in client.get(LIST).content.decode()


def test_a_longer_list_takes_no_more_queries(
    root: User, person: Callable[..., User], panel_of: Panel, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = panel_of(root)
    for number in range(5):
        login.open_session(person(f"user{number}"), proofs.PASSWORD)
    for name in ("user", "session", "auditevent", "role"):
        with django_assert_max_num_queries(7):
            client.get(f"/admin/accounts/{name}/")
