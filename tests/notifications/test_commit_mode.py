"""The commits of a delivery that wait for the disk, on both databases."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from accounts import users
from accounts.models import User
from notifications import outbox
from notifications.models import OutboxMail, State
from notifications.sending import delivery
from notifications.sending.commit_mode import asynchronous_commit
from tests.notifications import databases
from tests.notifications.mail_server import MailServer

ASK = {"sqlite": "PRAGMA synchronous", "postgresql": "SHOW synchronous_commit"}
SYNCED = {"sqlite": 2, "postgresql": "on"}
NOT_SYNCED = {"sqlite": 1, "postgresql": "off"}


@pytest.fixture
def database(database: str) -> str:
    """Each of the two databases in turn, as the product opens it: other tests don't wait for the disk."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {database.rpartition('/')[2]} RESET synchronous_commit")
        connection.close()
    return database


def mode() -> Any:
    with connection.cursor() as cursor:
        cursor.execute(ASK[connection.vendor])
        return cursor.fetchone()[0]


@pytest.mark.usefixtures("database")
def test_commits_wait_for_the_disk_again_after_the_block_even_if_it_fails() -> None:
    assert mode() == SYNCED[connection.vendor]
    with suppress(ValueError), asynchronous_commit():
        assert mode() == NOT_SYNCED[connection.vendor]
        raise ValueError
    assert mode() == SYNCED[connection.vendor]


def test_other_transactions_keep_the_operators_setting(postgres: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {postgres.rpartition('/')[2]} SET synchronous_commit = local")
    connection.close()
    with asynchronous_commit():
        assert mode() == "off"
    assert mode() == "local"


@pytest.mark.usefixtures("database")
def test_an_outer_transaction_decides() -> None:
    with transaction.atomic():
        with suppress(ValueError), asynchronous_commit():
            assert mode() == SYNCED[connection.vendor]
            users.create("ana@example.com", actor=None)
            raise ValueError
        assert not User.objects.exists()


@pytest.mark.usefixtures("database")
def test_marking_an_email_as_sent_waits_for_the_disk_and_a_claim_does_not(mail_server: MailServer) -> None:
    users.create("ana@example.com", actor=None)
    mail = outbox.enqueue("password_reset", email="ana@example.com")
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


def test_a_restart_of_the_database_loses_no_email(postgres: str, mail_server: MailServer) -> None:
    users.create("ana@example.com", actor=None)
    emails = [outbox.enqueue("password_reset", email="ana@example.com") for _each in range(2)]
    delivery.deliver(emails[0].pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    with psycopg.connect(f"{databases.SERVER}/postgres", autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(%s)", [backend])
    delivery.deliver(emails[1].pk)
    assert OutboxMail.objects.get(pk=emails[1].pk).state == State.SENT
