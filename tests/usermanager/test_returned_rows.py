"""On SQLite, a single statement with RETURNING is committed before its rows are read, and times have a zone."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware

from accounts.models import Role

UPDATE = "UPDATE accounts_role SET description = 'new' WHERE name IN ('admin', 'user') RETURNING name"
READ: list[Callable[[Any], list[Any]]] = [
    lambda cursor: cursor.fetchall(),
    lambda cursor: cursor.fetchmany(5),
    lambda cursor: [*cursor.fetchmany(1), cursor.fetchone()],
    list,
]


@pytest.mark.parametrize("read", READ)
def test_another_program_can_write_before_the_rows_are_read(sqlite: str, read: Callable[[Any], list[Any]]) -> None:
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=0)) as other, connection.cursor() as cursor:
        cursor.execute(UPDATE)
        assert other.execute("SELECT count(*) FROM accounts_role WHERE description = 'new'").fetchone() == (2,)
        other.execute("BEGIN IMMEDIATE")
        assert sorted(read(cursor)) == [("admin",), ("user",)]
        assert (cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall(), list(cursor)) == (None, [], [], [])
        cursor.execute("SELECT count(*) FROM accounts_role WHERE description = 'new'")
        assert read(cursor)[0] == (2,)


@pytest.mark.parametrize("read", READ)
def test_within_a_transaction_the_rows_are_the_same(sqlite: str, read: Callable[[Any], list[Any]]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(UPDATE)
        assert sorted(read(cursor)) == [("admin",), ("user",)]
    assert Role.objects.filter(description="new").count() == 2


@pytest.mark.parametrize(
    "stored",
    [
        "2026-01-02 23:59:59",
        "2026-01-02 23:59:59.5",
        "2026-01-02 23:59:59.000010",
        "2026-01-02T23:59:59+02:00",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59.999999",
    ],
)
def test_a_time_is_the_one_that_django_reads(sqlite: str, stored: str) -> None:
    """Django's own converter may find no zone. The backend then adds UTC."""
    theirs = parse_datetime(stored)
    assert theirs is not None
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE moments (moment datetime)")
        cursor.execute("INSERT INTO moments VALUES (%s)", [stored])
        cursor.execute("SELECT moment FROM moments")
        assert cursor.fetchone() == (theirs if is_aware(theirs) else theirs.replace(tzinfo=UTC),)
