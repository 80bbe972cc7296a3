"""All pages together are the whole list, for any rows and any page size (hypothesis)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.listing.filters import USER_ORDERINGS
from accounts.listing.pagination import KeysetPagination
from accounts.models import Role, User

TIMES = [None, *(datetime(2026, 1, 31, 12, tzinfo=UTC) + timedelta(microseconds=number) for number in range(3))]
ORDERINGS = [sign + name for name in USER_ORDERINGS for sign in ("", "-")]

logins = st.lists(st.sampled_from(TIMES), max_size=12)


class View(APIView):
    orderings = USER_ORDERINGS


def page_at(query: dict[str, str]) -> tuple[list[User], dict[str, Any]]:
    paginator = KeysetPagination()
    request = Request(APIRequestFactory().get("/", query))
    rows = paginator.paginate_queryset(User.objects.all(), request, View())
    return rows, paginator.get_paginated_response(None).data


def walk(direction: str, query: dict[str, str]) -> Iterator[list[User]]:
    """The page of the query and all that follow it in this direction, in the order of the walk."""
    rows, links = page_at(query)
    yield rows
    while links[direction]:
        rows, links = page_at(dict(parse_qsl(urlsplit(links[direction]).query)))
        yield rows


def last_query(query: dict[str, str]) -> dict[str, str]:
    while True:
        _rows, links = page_at(query)
        if not links["next"]:
            return query
        query = dict(parse_qsl(urlsplit(links["next"]).query))


def in_order(users: list[User], ordering: str) -> list[User]:
    """Sorts in Python: a missing time counts as the smallest, and equal values are sorted by their ids."""
    key: Callable[[User], Any] = {
        "created_at": lambda user: user.pk,
        "email": lambda user: user.email_key,
        "last_login_at": lambda user: (user.last_login_at is not None, user.last_login_at, user.pk),
    }[ordering.removeprefix("-")]
    return sorted(users, key=key, reverse=ordering.startswith("-"))


def make(logins: list[datetime | None]) -> list[User]:
    """Users with these last logins; by their addresses the last one comes first."""
    User.objects.all().delete()
    role = Role.objects.get(name="user")
    addresses = [f"{chr(ord('z') - number)}@example.com" for number in range(len(logins))]
    made = zip(addresses, logins, strict=True)
    return User.objects.bulk_create(User(email=at, email_key=at, role=role, last_login_at=time) for at, time in made)


@pytest.mark.django_db
@pytest.mark.parametrize("ordering", ORDERINGS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logins=logins, size=st.integers(1, 13))
def test_all_pages_together_are_the_whole_list_in_both_directions(
    ordering: str, logins: list[datetime | None], size: int
) -> None:
    expected = in_order(make(logins), ordering)
    query = {"ordering": ordering, "page_size": str(size)}
    forward = list(walk("next", query))
    assert [user for page in forward for user in page] == expected
    assert all(len(page) == size for page in forward[:-1])
    assert list(walk("previous", last_query(query))) == forward[::-1]
