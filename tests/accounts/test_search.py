"""Finding users by a part of their address or name: alike on both databases, and by an index on each."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts import search
from accounts.models import Role, User

PARTS = st.text(st.sampled_from("aAñÑeéßİıK%_\"'*\\()^: -ｆ😀字"), min_size=1, max_size=5)
NAMES = st.lists(st.text(st.sampled_from("aAñÑeéßİıK%_\"'*\\()^: -ｆ😀字"), max_size=8), min_size=1, max_size=6)


def found(part: str) -> list[str]:
    return [user.email for user in search.containing(User.objects.order_by("email_key"), part)]


def make(*names: str) -> None:
    role = Role.objects.get(name="user")
    for number, name in enumerate(names):
        User(email=f"u{number}@example.com", full_name=name, role=role).save()


@pytest.mark.parametrize(
    "part",
    ["garcía", "GARCIA", "García Ló", "a.garcia", "cia@exa", "a@EXAMPLE.com", "ága", "  garcía "],
)
def test_a_part_of_address_or_name_finds_whatever_its_case_and_accents(person: Callable[..., User], part: str) -> None:
    person("ana", email="Ana.Garcia@Example.com", full_name="Ágata García López")
    person("bruno", full_name="Bruno Müller")
    assert found(part) == ["Ana.Garcia@Example.com"]


def test_less_than_three_characters_begin_an_address(person: Callable[..., User]) -> None:
    person("ana", full_name="Bo")
    person("bo", full_name="Ana")
    assert found("an") == ["ana@example.com"]
    assert found("b") == ["bo@example.com"]
    assert found("x") == []


@pytest.mark.parametrize("part", ["%%%", "___", '"ana"', "ana*", "ana OR bruno", "NEAR(ana)", "\\\\\\", "a' OR '1'='1"])
def test_what_means_something_to_a_database_is_text_here(person: Callable[..., User], part: str) -> None:
    person("ana")
    person("bruno", full_name=f"Bruno {part}")
    assert found(part) == ["bruno@example.com"]


def test_a_change_and_a_deletion_are_found_at_once(ana: User, bruno: User) -> None:
    ana.full_name = "Quetzalli"
    ana.save(update_fields=["full_name"])
    assert (found("quetzal"), found("bruno")) == (["ana@example.com"], ["bruno@example.com"])
    ana.email = "xochitl@example.com"
    ana.save(update_fields=["email"])
    assert (found("ana@"), found("xochi")) == ([], ["xochitl@example.com"])
    ana.delete()
    assert found("quetzal") == []


@pytest.mark.usefixtures("database")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES, PARTS, st.booleans())
def test_both_databases_find_what_python_finds(names: list[str], part: str, are_many: bool) -> None:
    User.objects.all().delete()
    make(*names)
    sought = search.folded(part.strip())
    within = str.__contains__ if len(sought) >= search.TRIGRAM else str.startswith
    expected = [user.email for user in User.objects.order_by("email_key") if within(user.search_text, sought)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "FEW", -1 if are_many else search.FEW)
        assert found(part) == expected


def test_the_api_searches_so(person: Callable[..., User], root: User, client_of: Callable[[User], APIClient]) -> None:
    person("ana", full_name="Ágata García")
    answer = client_of(root).get("/api/v1/users/", {"search": "GARCIA", "count": "true"}).json()
    assert (answer["count"], [user["full_name"] for user in answer["results"]]) == (1, ["Ágata García"])


def test_sqlite_finds_a_rare_part_by_its_trigrams_and_a_common_one_without_sorting(sqlite: str) -> None:
    make("Quetzalli")
    rare = search.containing(User.objects.order_by("-id"), "quetzalli").explain()
    assert "VIRTUAL TABLE INDEX" in rare
    assert "SCAN accounts_user\n" not in rare
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "FEW", 0)
        common = search.containing(User.objects.order_by("-id"), "quetzalli")[:51].explain()
    assert "SCAN accounts_user USING INDEX sqlite_autoindex" in common
    assert "TEMP B-TREE" not in common


def test_sqlite_finds_the_same_after_a_vacuum(sqlite: str) -> None:
    make("Quetzalli", "Xochitl", "Citlali")
    User.objects.get(email="u0@example.com").delete()
    with closing(sqlite3.connect(Path(sqlite.removeprefix("sqlite:///")))) as database:
        database.execute("VACUUM")
    assert (found("xochitl"), found("citlali"), found("quetzalli")) == (["u1@example.com"], ["u2@example.com"], [])


@pytest.mark.postgres
def test_postgresql_can_find_a_part_by_its_trigrams(postgres: str) -> None:
    make("Quetzalli")
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
    assert "accounts_user_search" in search.containing(User.objects.all(), "quetzalli").explain()
