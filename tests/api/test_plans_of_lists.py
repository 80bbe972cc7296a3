"""How the databases find the pages of lists of users: by an index that has them in order, on the first page and on the
last, and without reading everybody.

Whether an index can serve is asked, not whether so few users are worth it: PostgreSQL is told to avoid the rest.
"""

from datetime import UTC, datetime
from itertools import product
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import access_tokens, login, rarity, roles, seeding, users
from accounts.filters import USER_ORDERINGS
from accounts.models import Role, User
from accounts.transfer import storing

USERS = "/api/v1/users/"
TODAY = datetime(2026, 1, 31, tzinfo=UTC)
ORDERINGS = [sign + name for name in USER_ORDERINGS for sign in ("", "-")]
COLUMNS = 'SELECT "accounts_user"."id", "accounts_user"."email"'


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
    common, rare = Role.objects.get(name=roles.USER), Role.objects.create(name="rare")
    storing.insert(list(seeding.Crowd("", TODAY, common, rare).people(0, 300, seed=1)))
    users.ensure_first_admin("root@example.com")
    session, _refresh = login.open_session(User.objects.get(email="root@example.com"))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
    return client


@pytest.fixture
def among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if they were so many that what most of them have is common."""
    monkeypatch.setattr(rarity, "FEW", 5)


def plans(client: APIClient, query: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """How each query for listed users is carried out, and the query of the next page."""
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
def test_a_page_beyond_a_time_begins_at_its_cursor(client: APIClient) -> None:
    middle = (TODAY - seeding.YEARS / 2).isoformat()
    for bound, ordering in product(("created_after", "created_before"), ("created_at", "-created_at")):
        _first, following = plans(client, {"ordering": ordering, bound: middle})
        page, _following = plans(client, following)
        assert all(is_in_order(plan) and seeks(plan) for plan in page), page


@pytest.mark.usefixtures("among_many")
def test_what_many_have_is_met_in_the_order_of_the_list(client: APIClient) -> None:
    common: list[dict[str, str]] = [
        {"role": "user"},
        {"is_active": "true"},
        {"email_verified": "false"},
        {"email_verified": "true"},
        {"search": "example.com"},
        {"search": "example.com", "role": "user", "is_active": "true", "email_verified": "true"},
    ]
    for query, ordering in product(common, ORDERINGS):
        first, following = plans(client, {"ordering": ordering, "page_size": "5", **query})
        page, _following = plans(client, following)
        assert all(map(is_in_order, first + page)), (query, ordering, first + page)


def test_what_few_have_is_looked_up_on_sqlite(client_on_sqlite: APIClient) -> None:
    year = (TODAY - seeding.YEARS).isoformat()
    rare = [{"search": "martin299"}, {"created_before": year}, {"last_login_before": year}]
    for query, ordering in product(rare, ORDERINGS):
        page, _following = plans(client_on_sqlite, {"ordering": ordering, **query})
        assert all(map(is_looked_up, page)), (query, ordering, page)


def test_who_has_a_rare_role_or_is_suspended_is_read_in_the_order_of_creation_or_looked_up(
    client_on_sqlite: APIClient,
) -> None:
    rare = [{"role": "rare"}, {"is_active": "false"}, {"is_active": "false", "search": "example.com"}]
    for query, ordering in product(rare, ORDERINGS):
        page, _following = plans(client_on_sqlite, {"ordering": ordering, **query})
        is_right = is_in_order if ordering in ("created_at", "-created_at") else is_looked_up
        assert all(map(is_right, page)), (query, ordering, page)
