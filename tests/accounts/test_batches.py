"""Rows are read in batches: each row once, in the order of the key, even if rows are written meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any

import pytest
from django.db import connection

from accounts import batches
from accounts.models import Role, User
from tests.notifications import databases

Person = Callable[..., User]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_SIZE", 2)


@pytest.mark.parametrize("number", range(6))
def test_each_row_is_read_once_and_in_order(person: Person, number: int) -> None:
    ids = sorted(person(f"user{name}").pk for name in range(number))
    assert [user.pk for user in batches.read(User.objects.all())] == ids
    rows = User.objects.values_list("email_key", "id")
    assert [pk for _email, pk in batches.read(rows, "id", itemgetter(1), is_descending=True)] == ids[::-1]


def test_a_filter_applies_to_each_batch(person: Person) -> None:
    for number in range(9):
        person(f"user{number}", is_active=number % 2 == 0)
    assert len(list(batches.read(User.objects.filter(is_active=True), "email_key"))) == 5


def test_rows_added_or_deleted_meanwhile_neither_repeat_nor_hide_others(person: Person) -> None:
    ids = sorted(person(f"user{number}").pk for number in range(5))
    read = batches.read(User.objects.all())
    seen = [next(read).pk for _row in range(2)]
    User.objects.filter(pk__in=ids[:2]).delete()
    newest = person("newest").pk
    assert seen + [user.pk for user in read] == [*ids, newest]


@pytest.fixture
def one_connection(postgres: str) -> Iterator[None]:
    """All threads share one connection to PostgreSQL, as those of the web server share a few."""
    pool = {"min_size": 1, "max_size": 1, "timeout": 1}
    with databases.using(CONN_MAX_AGE=0, OPTIONS={"pool": pool}):
        yield
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]


def _number_of_users() -> int:
    try:
        return User.objects.count()
    finally:
        connection.close()


@pytest.mark.postgres
@pytest.mark.parametrize("read", [batches.read, batches.newest_first])
def test_other_threads_use_the_connection_while_a_client_reads_slowly(
    one_connection: None, monkeypatch: pytest.MonkeyPatch, read: Callable[..., Iterator[Any]]
) -> None:
    monkeypatch.setattr(batches, "PAGE_SIZE", 2)
    role = Role.objects.get(name="user")
    for number in range(3):
        User.objects.create(email=f"user{number}@example.com", role=role)
    with ThreadPoolExecutor(1) as other:
        seen = [other.submit(_number_of_users).result() for _row_or_page in read(User.objects.all())]
    assert seen == [3] * (3 if read is batches.read else 2)
