"""Which commits of a delivery wait for the disk, on both databases."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from accounts import users
from accounts.models import User
from notifications import delivery, outbox
from notifications.durability import unsynced
from notifications.models import OutboxMail, State
from tests.notifications import databases
from tests.notifications.post import Post

ASK = {"sqlite": "PRAGMA synchronous", "postgresql": "SHOW synchronous_commit"}
SYNCED = {"sqlite": 2, "postgresql": "on"}
NOT_SYNCED = {"sqlite": 1, "postgresql": "off"}


def mode() -> Any:
    with connection.cursor() as cursor:
        cursor.execute(ASK[connection.vendor])
        return cursor.fetchone()[0]


@pytest.mark.usefixtures("database")
def test_commits_wait_for_the_disk_again_after_the_block_even_if_it_fails() -> None:
    assert mode() == SYNCED[connection.vendor]
    with suppress(ValueError), unsynced():
        assert mode() == NOT_SYNCED[connection.vendor]
        raise ValueError
    assert mode() == SYNCED[connection.vendor]


def test_what_the_operator_chose_holds_for_all_other_transactions(postgres: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {postgres.rpartition('/')[2]} SET synchronous_commit = local")
    connection.close()
    with unsynced():
        assert mode() == "off"
    assert mode() == "local"


@pytest.mark.usefixtures("database")
def test_within_a_transaction_who_opened_it_decides() -> None:
    with transaction.atomic():
        with suppress(ValueError), unsynced():
            assert mode() == SYNCED[connection.vendor]
            users.create("ana@example.com", actor=None)
            raise ValueError
        assert not User.objects.exists()


@pytest.mark.usefixtures("database")
def test_that_a_mail_was_sent_is_on_disk_and_that_it_was_claimed_need_not(post: Post) -> None:
    users.create("ana@example.com", actor=None)
    mail = outbox.put("password_reset", email="ana@example.com")
    modes: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.lstrip().startswith("UPDATE") and "outbox" in sql:
            with connection.cursor() as cursor:
                cursor.cursor.execute(ASK[connection.vendor])  # past this function
                modes.append((sql, cursor.cursor.fetchone()[0]))
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        delivery.deliver(mail.pk)
    assert OutboxMail.objects.get(pk=mail.pk).state == State.SENT
    assert [used for _sql, used in modes] == [NOT_SYNCED[connection.vendor], SYNCED[connection.vendor]]


def test_a_database_that_was_started_again_costs_no_mail(postgres: str, post: Post) -> None:
    users.create("ana@example.com", actor=None)
    mails = [outbox.put("password_reset", email="ana@example.com") for _each in range(2)]
    delivery.deliver(mails[0].pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    with psycopg.connect(f"{databases.SERVER}/postgres", autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(%s)", [backend])
    delivery.deliver(mails[1].pk)
    assert OutboxMail.objects.get(pk=mails[1].pk).state == State.SENT
