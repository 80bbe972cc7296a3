"""Rows are read in batches: each of them once, in the order of their key, whatever is written meanwhile."""

from collections.abc import Callable
from operator import itemgetter

import pytest

from accounts import batches
from accounts.models import User

Person = Callable[..., User]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ROWS", 2)


@pytest.mark.parametrize("number", range(6))
def test_each_row_is_read_once_and_in_order(person: Person, number: int) -> None:
    ids = sorted(person(f"user{name}").pk for name in range(number))
    assert [user.pk for user in batches.read(User.objects.all())] == ids
    rows = User.objects.values_list("email_key", "id")
    assert [pk for _email, pk in batches.read(rows, "id", itemgetter(1), is_descending=True)] == ids[::-1]


def test_a_filter_holds_for_each_batch(person: Person) -> None:
    for number in range(9):
        person(f"user{number}", is_active=number % 2 == 0)
    assert len(list(batches.read(User.objects.filter(is_active=True), "email_key"))) == 5


def test_rows_that_come_and_go_meanwhile_repeat_and_hide_none(person: Person) -> None:
    ids = sorted(person(f"user{number}").pk for number in range(5))
    read = batches.read(User.objects.all())
    seen = [next(read).pk for _row in range(2)]
    User.objects.filter(pk__in=ids[:2]).delete()
    newest = person("newest").pk
    assert seen + [user.pk for user in read] == [*ids, newest]
