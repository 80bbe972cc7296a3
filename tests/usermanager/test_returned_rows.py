"""On SQLite, a single statement with RETURNING is committed before its rows are read."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from django.db import connection, transaction

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
