"""Administrators list users with every filter in every ordering; pages neither overlap nor leave gaps."""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.core.signing import Signer
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.listing.filters import AuditFilter, NamedFilters, UserFilter
from accounts.models import Role, User
from tests.conftest import refused

USERS = "/api/v1/users/"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ORDERINGS = ["created_at", "email", "last_login_at"]


@pytest.fixture
def client(root: User, client_of: Callable[[User], APIClient]) -> APIClient:
    return client_of(root)


@pytest.fixture
def crowd(person: Callable[..., User], role: Callable[..., Role]) -> list[User]:
    """Returns five users, oldest first. Two never logged in, two logged in at the same moment."""
    role("support", "users.view")
    return [
        person("eva", created_at=NOON, last_login_at=NOON),
        person("dan", created_at=NOON + HOUR, role="support", mfa_enabled=True),
        person(
            "abe",
            created_at=NOON + 2 * HOUR,
            last_login_at=NOON,
            email_verified=False,
            full_name="Ábe O'Neil",
            mfa_enabled=True,
        ),
        person("cleo", created_at=NOON + 3 * HOUR, last_login_at=NOON + HOUR, is_active=False, role="support"),
        person("bea", created_at=NOON + 4 * HOUR, email_verified=False),
    ]


def listed(client: APIClient, **query: Any) -> list[str]:
    answer = client.get(USERS, query)
    assert answer.status_code == 200, answer.content
    return [user["email"].partition("@")[0] for user in answer.json()["results"]]


def follow(client: APIClient, url: str) -> dict[str, Any]:
    """Returns the page behind a `next` or `previous` link."""
    parts = urlsplit(url)
    page: dict[str, Any] = client.get(parts.path, dict(parse_qsl(parts.query))).json()
    return page


def cursor_of(url: str) -> str:
    return dict(parse_qsl(urlsplit(url).query))["cursor"]


def pages(client: APIClient, way: str, page: dict[str, Any]) -> Iterator[list[str]]:
    while True:
        yield [user["email"] for user in page["results"]]
        if not page[way]:
            return
        page = follow(client, page[way])


def test_all_fields_of_users_are_shown_and_no_others(client: APIClient, root: User) -> None:
    answer = client.get(USERS)
    (shown,) = answer.json()["results"]
    assert list(shown) == [
        *("id", "email", "full_name", "role", "is_active", "email_verified", "mfa_enabled", "locale", "metadata"),
        *("created_at", "updated_at", "last_login_at"),
    ]
    assert (shown["id"], shown["role"], shown["locale"], shown["metadata"]) == (str(root.pk), "admin", None, {})
    assert shown["created_at"].endswith("Z")
    assert list(answer.json()) == ["next", "previous", "results"]


class TestPermissions:
    def test_a_user_without_the_permission_gets_403(self, ana: User, client_of: Callable[[User], APIClient]) -> None:
        refused(client_of(ana).get(USERS), 403, "permission_denied")
        refused(APIClient().get(USERS), 401, "not_authenticated")

    def test_a_user_with_the_permission_sees_all_users(
        self, carla: User, root: User, client_of: Callable[[User], APIClient]
    ) -> None:
        assert listed(client_of(carla)) == ["root", "carla"]


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"search": "bea"}, {"bea"}),
            ({"search": "EVA@EXAMPLE"}, {"eva"}),
            ({"search": "o'neil"}, {"abe"}),
            ({"search": "be@"}, {"abe"}),
            ({"search": "%"}, set()),
            ({"search": "_"}, set()),
            ({"role": "support"}, {"dan", "cleo"}),
            ({"role": "nobody-has-it"}, set()),
            ({"is_active": "false"}, {"cleo"}),
            ({"email_verified": "false"}, {"abe", "bea"}),
            ({"mfa_enabled": "true"}, {"dan", "abe"}),
            ({"mfa_enabled": "false", "is_active": "true"}, {"eva", "bea", "root"}),
            ({"mfa_enabled": "true", "role": "support"}, {"dan"}),
            ({"created_after": "2026-01-31T15:00:00Z"}, {"bea", "root"}),
            ({"created_after": "2026-01-31T16:00:00+01:00"}, {"bea", "root"}),
            ({"created_before": "2026-01-31T13:00:00Z"}, {"eva"}),
            ({"last_login_after": "2026-01-31T12:00:00Z", "role": "support"}, {"cleo"}),
            ({"last_login_before": "2026-01-31T12:00:01Z"}, {"eva", "abe"}),
            ({"is_active": "true", "email_verified": "true", "role": "support"}, {"dan"}),
            ({"search": "e", "role": "user", "last_login_before": "2026-02-01T00:00Z"}, {"eva"}),
            ({"search": "cleo", "is_active": "true"}, set()),
        ],
    )  # fmt: skip
    def test_filters_work_alone_and_together_in_every_ordering(
        self, client: APIClient, crowd: list[User], query: dict[str, str], found: set[str]
    ) -> None:
        for ordering in ORDERINGS:
            for sign in ("", "-"):
                all_users = listed(client, ordering=sign + ordering)
                expected = [name for name in all_users if name in found]
                assert listed(client, ordering=sign + ordering, **query) == expected

    @pytest.mark.parametrize(
        "name",
        ["is_active", "email_verified", "mfa_enabled", "invitation", "created_after", "last_login_before", "count"],
    )
    @pytest.mark.parametrize("value", ["perhaps", "1", "TRUE", "31.01.2026", "true\0"])
    def test_an_unknown_value_is_rejected_and_named(self, client: APIClient, name: str, value: str) -> None:
        problem = refused(client.get(USERS, {name: value}), 400, "validation_error")
        assert [error["field"] for error in problem["errors"]] == [name]

    @pytest.mark.parametrize("name", ["search", "role"])
    def test_a_nul_character_is_rejected(self, client: APIClient, name: str) -> None:
        refused(client.get(USERS, {name: "a\0"}), 400, "validation_error")

    def test_unknown_parameters_are_ignored(self, client: APIClient) -> None:
        assert listed(client, password="x", role__permissions="users.view", id__in="1") == ["root"]

    def test_an_empty_filter_is_ignored(self, client: APIClient, crowd: list[User]) -> None:
        assert len(listed(client, search="", role="", is_active="", ordering="", page_size="", cursor="")) == 6


class TestOrderings:
    @pytest.mark.parametrize(
        ("ordering", "names"),
        [
            ("", ["root", "bea", "cleo", "abe", "dan", "eva"]),
            ("-created_at", ["root", "bea", "cleo", "abe", "dan", "eva"]),
            ("created_at", ["eva", "dan", "abe", "cleo", "bea", "root"]),
            ("email", ["abe", "bea", "cleo", "dan", "eva", "root"]),
            ("-email", ["root", "eva", "dan", "cleo", "bea", "abe"]),
            ("last_login_at", ["dan", "bea", "eva", "abe", "cleo", "root"]),
            ("-last_login_at", ["root", "cleo", "abe", "eva", "bea", "dan"]),
        ],
    )
    def test_are_those_of_the_contract(
        self, client: APIClient, crowd: list[User], ordering: str, names: list[str]
    ) -> None:
        """Root is the newest and has just logged in. Users without a login count as oldest; ties are sorted by id."""
        assert listed(client, ordering=ordering) == names

    @pytest.mark.parametrize("ordering", ["password", "id", "role", "-", "--email", "email,created_at", "Email", "?"])
    def test_other_orderings_are_rejected(self, client: APIClient, ordering: str) -> None:
        problem = refused(client.get(USERS, {"ordering": ordering}), 400, "validation_error")
        assert [error["field"] for error in problem["errors"]] == ["ordering"]


class TestPages:
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7])
    @pytest.mark.parametrize("ordering", [sign + name for name in ORDERINGS for sign in ("", "-")])
    def test_contain_each_user_once_in_both_directions(
        self, client: APIClient, crowd: list[User], ordering: str, size: int
    ) -> None:
        whole = [user["email"] for user in client.get(USERS, {"ordering": ordering}).json()["results"]]
        first = client.get(USERS, {"ordering": ordering, "page_size": str(size)}).json()
        forward = list(pages(client, "next", first))
        assert sum(forward, []) == whole  # noqa: RUF017 - six names
        assert all(len(page) == size for page in forward[:-1])
        assert first["previous"] is None
        last = first
        while last["next"]:
            last = follow(client, last["next"])
        backward = list(pages(client, "previous", last))
        assert backward == forward[::-1]

    def test_keep_filters_and_size_in_their_links(self, client: APIClient, crowd: list[User]) -> None:
        page = client.get(USERS, {"role": "user", "page_size": "1", "ordering": "email"}).json()
        assert page["next"].startswith("http://localhost:8000/api/v1/users/?")
        assert list(pages(client, "next", page)) == [["abe@example.com"], ["bea@example.com"], ["eva@example.com"]]

    def test_continue_after_a_deleted_row(self, client: APIClient, crowd: list[User]) -> None:
        page = client.get(USERS, {"ordering": "email", "page_size": "2"}).json()
        User.objects.filter(email__in=[user["email"] for user in page["results"]]).delete()
        assert [user["email"][:3] for user in follow(client, page["next"])["results"]] == ["cle", "dan"]

    def test_hold_fifty_users_by_default_and_two_hundred_at_most(self, client: APIClient, root: User) -> None:
        addresses = [f"u{number}@example.com" for number in range(205)]
        User.objects.bulk_create(User(email=address, email_key=address, role=root.role) for address in addresses)
        sizes = {size: len(listed(client, page_size=size)) for size in ("", "3", "200", "201", "999999999")}
        assert sizes == {"": 50, "3": 3, "200": 200, "201": 200, "999999999": 200}

    @pytest.mark.parametrize("size", ["0", "-1", "x", "1.5", "1e3", "²", "٣", "9" * 400, " 1"])
    def test_have_a_size_that_is_a_number(self, client: APIClient, size: str) -> None:
        problem = refused(client.get(USERS, {"page_size": size}), 400, "validation_error")
        assert [error["field"] for error in problem["errors"]] == ["page_size"]

    def test_count_all_results_on_demand(self, client: APIClient, crowd: list[User]) -> None:
        page = client.get(USERS, {"count": "true", "page_size": "1", "role": "user"}).json()
        assert (page["count"], len(page["results"])) == (3, 1)
        assert follow(client, page["next"])["count"] == 3
        assert "count" not in client.get(USERS, {"count": "false"}).json()

    def test_an_empty_page_has_no_neighbours(self, client: APIClient) -> None:
        assert client.get(USERS, {"search": "nobody"}).json() == {"next": None, "previous": None, "results": []}


class TestCursors:
    @pytest.fixture
    def cursor(self, client: APIClient, crowd: list[User]) -> str:
        page = client.get(USERS, {"ordering": "-last_login_at", "page_size": "2"}).json()
        return cursor_of(page["next"])

    @pytest.mark.parametrize("ordering", ["last_login_at", "email", "-created_at", ""])
    def test_belong_to_their_ordering(self, client: APIClient, cursor: str, ordering: str) -> None:
        problem = refused(client.get(USERS, {"ordering": ordering, "cursor": cursor}), 400, "validation_error")
        assert [error["field"] for error in problem["errors"]] == ["cursor"]

    def test_cannot_be_altered(self, client: APIClient, cursor: str) -> None:
        assert client.get(USERS, {"ordering": "-last_login_at", "cursor": cursor}).status_code == 200
        for place in range(0, len(cursor), 3):
            other = "A" if cursor[place] != "A" else "B"
            altered = cursor[:place] + other + cursor[place + 1 :]
            refused(client.get(USERS, {"ordering": "-last_login_at", "cursor": altered}), 400, "validation_error")

    @pytest.mark.parametrize("text", ["x", ":", "é:ñ", "W10:x", "A" * 5000, "a\0b", "[" * 3000])
    def test_other_texts_are_rejected(self, client: APIClient, text: str) -> None:
        refused(client.get(USERS, {"cursor": text}), 400, "validation_error")

    @pytest.mark.parametrize("fields", ["[" * 3000, '["email","\\ud800","x",false]', "{}", "9" * 5000])
    def test_a_foreign_signature_is_rejected(self, client: APIClient, fields: str) -> None:
        forged = base64.urlsafe_b64encode(fields.encode()).decode().rstrip("=")
        signed = Signer(key="another secret", salt="accounts.api.pagination").sign(forged)
        for cursor in (forged, signed):
            refused(client.get(USERS, {"ordering": "email", "cursor": cursor}), 400, "validation_error")


@pytest.mark.parametrize(("filters", "name"), [(UserFilter, "role"), (AuditFilter, "actor")])
def test_only_the_filters_that_a_query_names_are_copied_and_validated(filters: type[NamedFilters], name: str) -> None:
    found = filters({name: "", "page_size": "10"}, request=None)
    assert list(found.filters) == list(found.form.fields) == [name]
    assert len(filters.base_filters) > 1
    assert not filters(None, request=None).filters


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize(
    ("path", "statements"),
    [
        ("users/", 2),  # the session with its user, and the page
        ("users/?search=example", 3),  # a sample of the newest users
        ("users/?count=true", 3),
        ("users/me/sessions/", 2),
        ("audit/", 2),
        ("roles/", 2),
    ],
)
def test_a_page_takes_the_same_statements_however_long_it_is(
    client: APIClient, django_assert_num_queries: DjangoAssertNumQueries, path: str, statements: int
) -> None:
    with django_assert_num_queries(statements):
        assert client.get(f"/api/v1/{path}").status_code == 200


def test_the_count_reads_no_roles(client: APIClient, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(3) as asked:
        client.get(USERS, {"count": "true"})
    (counting,) = (one["sql"] for one in asked.captured_queries if "COUNT(" in one["sql"])
    assert "accounts_role" not in counting
