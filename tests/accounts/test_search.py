"""Finding users by a part of their address or name: alike on both databases, and by an index on each."""

import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import call_command
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
def test_a_part_of_an_address_or_name_matches_in_any_case_with_or_without_accents(
    person: Callable[..., User], part: str
) -> None:
    person("ana", email="Ana.Garcia@Example.com", full_name="Ágata García López")
    person("bruno", full_name="Bruno Müller")
    assert found(part) == ["Ana.Garcia@Example.com"]


def test_up_to_two_characters_match_the_beginning_of_an_address_or_a_word(person: Callable[..., User]) -> None:
    person("ana", full_name="Bo Núñez")
    person("bo", full_name="Ana")
    assert found("an") == ["ana@example.com", "bo@example.com"]
    assert found("NÚ") == found("n") == ["ana@example.com"]
    for part in ("na", "ez", "z", "@", "-", "%", '"'):
        assert found(part) == []


@pytest.mark.parametrize("part", ["%%%", "___", '"ana"', "ana*", "ana OR bruno", "NEAR(ana)", "\\\\\\", "a' OR '1'='1"])
def test_special_characters_of_databases_are_searched_as_text(person: Callable[..., User], part: str) -> None:
    person("ana")
    person("bruno", full_name=f"Bruno {part}")
    assert found(part) == ["bruno@example.com"]


def test_changes_and_deletions_take_effect_at_once(ana: User, bruno: User) -> None:
    ana.full_name = "Quetzalli"
    ana.save(update_fields=["full_name"])
    assert (found("quetzal"), found("bruno")) == (["ana@example.com"], ["bruno@example.com"])
    ana.email = "xochitl@example.com"
    ana.save(update_fields=["email"])
    assert (found("ana@"), found("xochi")) == ([], ["xochitl@example.com"])
    ana.delete()
    assert found("quetzal") == []


@pytest.mark.usefixtures("database")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES, PARTS, st.booleans())
def test_both_databases_find_what_python_finds(names: list[str], part: str, are_many: bool) -> None:
    User.objects.all().delete()
    make(*names)
    expected = [user.email for user in User.objects.order_by("email_key") if holds(user, part)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "COMMON_THRESHOLD", 0 if are_many else search.COMMON_THRESHOLD)
        assert found(part) == expected


def holds(user: User, part: str) -> bool:
    sought, address, name = map(search.folded, (part, user.email, user.full_name))
    if len(sought) >= search.TRIGRAM:
        return sought in address or sought in name
    return any(text.startswith(sought) for text in (address, name, *name.split()))


@given(st.text(max_size=30), st.data())
def test_any_substring_of_a_name_in_any_spelling_matches(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(name)))
    part = name[start : data.draw(st.integers(start, len(name)))]
    for spelling in (part, part.upper(), part.lower(), unicodedata.normalize("NFD", part)):
        assert search.folded(spelling) in search.folded(name)


def test_the_api_ignores_case_and_accents(
    person: Callable[..., User], root: User, client_of: Callable[[User], APIClient]
) -> None:
    person("ana", full_name="Ágata García")
    answer = client_of(root).get("/api/v1/users/", {"search": "GARCIA", "count": "true"}).json()
    assert (answer["count"], [user["full_name"] for user in answer["results"]]) == (1, ["Ágata García"])


@pytest.mark.usefixtures("database")
def test_a_term_is_common_if_ten_of_the_newest_users_match() -> None:
    make(*["Marta"] * search.COMMON_THRESHOLD, "Nora")
    assert (search._is_common("marta"), search._is_common("nora")) == (True, False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "SAMPLE_SIZE", search.COMMON_THRESHOLD)  # the newest of them is Nora
        assert not search._is_common("marta")
    User.objects.filter(full_name="Marta").earliest("id").delete()
    assert not search._is_common("marta")


def test_sqlite_finds_rare_terms_by_trigrams_and_common_ones_without_sorting(sqlite: str) -> None:
    make("Quetzalli")
    rare = search.containing(User.objects.order_by("-id"), "quetzalli").explain()
    assert "VIRTUAL TABLE INDEX" in rare
    assert "SCAN accounts_user\n" not in rare
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "COMMON_THRESHOLD", 0)
        common = search.containing(User.objects.order_by("-id"), "quetzalli")[:51].explain()
    assert "SCAN accounts_user USING INDEX sqlite_autoindex" in common
    assert "TEMP B-TREE" not in common


def test_sqlite_finds_the_same_after_a_vacuum(sqlite: str) -> None:
    make("Quetzalli", "Xochitl", "Citlali")
    User.objects.get(email="u0@example.com").delete()
    with closing(sqlite3.connect(Path(sqlite.removeprefix("sqlite:///")))) as database:
        database.execute("VACUUM")
    assert (found("xochitl"), found("citlali"), found("quetzalli")) == (["u1@example.com"], ["u2@example.com"], [])


def test_sqlite_indexes_users_again_that_changed_without_a_trigger(sqlite: str) -> None:
    make("Quetzalli", "Xochitl")
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER accounts_user_search_update")
    User.objects.get(email="u0@example.com").delete()
    User.objects.filter(email="u1@example.com").update(search_text=search.text_of("u1@example.com", "", "Citlali"))
    call_command("migrate", verbosity=0)
    assert (found("citlali"), found("xochitl"), found("quetzalli")) == (["u1@example.com"], [], [])


@pytest.mark.postgres
def test_postgresql_finds_rare_terms_by_trigrams_and_common_ones_without_sorting(postgres: str) -> None:
    make("Quetzalli")
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")  # the table is so small
    rare = search.containing(User.objects.order_by("-id"), "quetzalli").explain()
    assert "Bitmap Index Scan on accounts_user_search" in rare
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "COMMON_THRESHOLD", 0)
        common = search.containing(User.objects.order_by("-id"), "quetzalli")[:51].explain()
    assert "Index Scan Backward using accounts_user_pkey" in common
    assert "Sort" not in common


@pytest.fixture
def unprivileged_owner(postgres: str) -> Iterator[None]:
    """Whom the table of users belongs to, and who may install nothing."""
    name = postgres.rpartition("/")[2] + "_owner"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name}")
        cursor.execute(f"ALTER TABLE accounts_user OWNER TO {name}")
        cursor.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        cursor.execute(f"GRANT CREATE ON SCHEMA public TO {name}")
        cursor.execute("DROP EXTENSION pg_trgm CASCADE")
        cursor.execute(f"SET ROLE {name}")
        yield
        cursor.execute("RESET ROLE")
        cursor.execute(f"DROP OWNED BY {name} CASCADE")
        cursor.execute(f"DROP ROLE {name}")


@pytest.mark.postgres
@pytest.mark.usefixtures("unprivileged_owner")
def test_without_the_extension_postgresql_finds_the_same_and_logs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    make("Quetzalli")
    with caplog.at_level("WARNING", "accounts.search"):
        search.ensure_indexes(connection)
    assert "permission denied to create extension" in caplog.text
    assert "CREATE EXTENSION pg_trgm" in caplog.text
    assert found("quetzalli") == ["u0@example.com"]
