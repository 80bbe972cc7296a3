"""Query plans of the lists of users: the first page and the last come from an index in their order, without a scan of
all users.

The tests check whether an index can serve a query. For so few users PostgreSQL wouldn't choose it, so they disable the
other plans.
"""

import re
from datetime import UTC, datetime
from itertools import product
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import login, permissions, users
from accounts.jwt import access_tokens
from accounts.listing import selectivity
from accounts.listing.filters import USER_ORDERINGS
from accounts.mfa import proofs
from accounts.models import Role, User
from accounts.transfer import seeding, user_table

USERS = "/api/v1/users/"
TODAY = datetime(2026, 1, 31, tzinfo=UTC)
ORDERINGS = [sign + name for name in USER_ORDERINGS for sign in ("", "-")]
COLUMNS = 'SELECT "accounts_user"."id" AS "id", "accounts_user"."email"'


@pytest.fixture
def client(database: str) -> APIClient:
    """Signed in, among 300 users."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off")
    return among_300()


@pytest.fixture
def client_on_sqlite(sqlite: str) -> APIClient:
    return among_300()


def among_300() -> APIClient:
    common, rare = Role.objects.get(name=permissions.USER), Role.objects.create(name="rare")
    user_table.insert(list(seeding.FakeUsers("", TODAY, common, rare).generate(0, 300, seed=1)))
    User.objects.filter(email_key__contains="7").update(mfa_enabled=True)
    users.ensure_first_admin("root@example.com")
    session, _refresh = login.open_session(User.objects.get(email="root@example.com"), proofs.PASSWORD)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
    return client


@pytest.fixture
def among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowers the threshold, so that a value that most of these few users have counts as common."""
    monkeypatch.setattr(selectivity, "MAX_LOOKUPS", 5)


def plans(client: APIClient, query: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Returns the plan of each query for listed users, and the query of the next page."""
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(USERS, query)
    assert answer.status_code == 200, answer.content
    found = [_plan(one["sql"]) for one in asked if one["sql"].startswith(COLUMNS)]
    assert found
    return found, dict(parse_qsl(urlsplit(answer.json()["next"] or "").query))


def _plan(statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'' if connection.vendor == 'postgresql' else 'QUERY PLAN'} {statement}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def is_in_order(plan: str) -> bool:
    """Whether rows come out of an index as they are to be shown, so that a page is all that is read."""
    if connection.vendor == "postgresql":
        return "Index Scan" in plan and "Sort" not in plan and "Seq Scan on accounts_user" not in plan
    return "accounts_user USING INDEX" in plan and "TEMP B-TREE" not in plan


def seeks(plan: str) -> bool:
    """Whether it begins where the page does."""
    return ("Index Cond" if connection.vendor == "postgresql" else "SEARCH accounts_user") in plan


def is_looked_up(plan: str) -> bool:
    """Whether ids come from the index of a filter, and users by their ids."""
    return "SEARCH accounts_user USING INDEX sqlite_autoindex_accounts_user_1 (id=?)" in plan


def test_every_page_is_read_in_the_order_of_an_index(client: APIClient) -> None:
    for ordering in ORDERINGS:
        page, following = plans(client, {"ordering": ordering})
        assert all(map(is_in_order, page)), (ordering, page)
        while following:
            page, following = plans(client, following)
            assert all(is_in_order(plan) and seeks(plan) for plan in page), (ordering, page)


@pytest.mark.usefixtures("among_many")
def test_a_page_filtered_by_time_begins_at_its_cursor(client: APIClient) -> None:
    middle = (TODAY - seeding.HISTORY / 2).isoformat()
    for bound, ordering in product(("created_after", "created_before"), ("created_at", "-created_at")):
        _first, following = plans(client, {"ordering": ordering, bound: middle})
        page, _following = plans(client, following)
        assert all(is_in_order(plan) and seeks(plan) for plan in page), page


@pytest.mark.usefixtures("among_many")
def test_the_bound_of_the_cursor_comes_before_that_of_a_filter(client_on_sqlite: APIClient) -> None:
    """SQLite's plan looks the same for both orders, but SQLite begins at the bound that is written first."""
    middle = (TODAY - seeding.HISTORY / 2).isoformat()
    for bound, ordering, sign in (("created_after", "created_at", ">"), ("created_before", "-created_at", "<")):
        first = client_on_sqlite.get(USERS, {"ordering": ordering, bound: middle})
        with CaptureQueriesContext(connection) as asked:
            client_on_sqlite.get(first.json()["next"])
        found = [re.findall(rf"\"created_at\" {sign} '([^']+)'", one["sql"]) for one in asked]
        (bounds,) = [times for times in found if len(times) == 2]
        assert bounds == sorted(bounds, reverse=sign == ">")


@pytest.mark.usefixtures("among_many")
def test_common_values_are_read_in_the_order_of_the_list(client: APIClient) -> None:
    common: list[dict[str, str]] = [
        {"role": "user"},
        {"is_active": "true"},
        {"email_verified": "false"},
        {"email_verified": "true"},
        {"mfa_enabled": "false"},
        {"mfa_enabled": "true"},
        {"search": "example.com"},
        {"search": "example.com", "role": "user", "is_active": "true", "email_verified": "true"},
    ]
    for query, ordering in product(common, ORDERINGS):
        first, following = plans(client, {"ordering": ordering, "page_size": "5", **query})
        page, _following = plans(client, following)
        assert all(map(is_in_order, first + page)), (query, ordering, first + page)


def test_rare_values_are_looked_up_on_sqlite(client_on_sqlite: APIClient) -> None:
    year = (TODAY - seeding.HISTORY).isoformat()
    rare = [{"search": "martin299"}, {"created_before": year}, {"last_login_before": year}]
    for query, ordering in product(rare, ORDERINGS):
        page, _following = plans(client_on_sqlite, {"ordering": ordering, **query})
        assert all(map(is_looked_up, page)), (query, ordering, page)


def test_users_of_a_rare_role_suspended_users_and_those_with_a_factor_are_read_in_order_of_creation_or_looked_up(
    client_on_sqlite: APIClient,
) -> None:
    rare = [
        {"role": "rare"},
        {"is_active": "false"},
        {"mfa_enabled": "true"},
        {"is_active": "false", "search": "example.com"},
    ]
    for query, ordering in product(rare, ORDERINGS):
        page, _following = plans(client_on_sqlite, {"ordering": ordering, **query})
        is_right = is_in_order if ordering in ("created_at", "-created_at") else is_looked_up
        assert all(map(is_right, page)), (query, ordering, page)
