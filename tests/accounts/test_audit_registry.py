"""The registry reveals a chain that was deleted with its row or restored to an older state; and writers never wait."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from accounts import audit
from accounts.audit import chain
from accounts.models import AuditChain, AuditEvent, AuditRegistry
from tests.usermanager.processes import eventually
from usermanager import bootstrap

INITIAL_CHAINS = 16  # on PostgreSQL


def record(number: int = 1) -> int:
    """Writes this number of events; returns the chain of the last one."""
    return [audit.record("user:changed", None, actor=None) for _ in range(number)][-1].chain


def verify() -> str:
    """Returns the command's output, including the error."""
    out = StringIO()
    try:
        call_command("audit", "verify", stdout=out)
    except CommandError as broken:
        return str(broken)
    return out.getvalue()


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@contextmanager
def undone() -> Iterator[None]:
    """Rolls back the block's changes to the database."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.mark.usefixtures("database")
def test_changes_to_whole_chains_without_the_key_are_found() -> None:
    chain = record(3)
    assert verify() == "All 3 events are intact.\n"
    older = AuditChain.objects.filter(pk=chain).values().get()
    record(2)
    audit.prune()  # stores the length 5 in the list
    assert verify() == "All 5 events are intact.\n"

    with undone():  # the chain and its row
        sql("DELETE FROM accounts_auditevent WHERE chain = %s", chain)
        sql("DELETE FROM accounts_auditchain WHERE number = %s", chain)
        missing = f"Chain {chain} is missing with all of its events. It had at least 5."
        assert verify() == missing
        assert record() != chain
        audit.prune()
        assert verify() == missing

    with undone():  # its newest events, and an older row
        sql("DELETE FROM accounts_auditevent WHERE chain = %s AND position > 3", chain)
        AuditChain.objects.filter(pk=chain).update(**older)
        put_back = f"Chain {chain} was restored to an older state. It had at least 5 events."
        assert verify() == put_back
        assert record(4) == chain
        audit.prune()
        assert verify() == put_back

    with undone():  # the list
        sql("DELETE FROM accounts_auditregistry")
        assert verify() == "The list of chains is missing."
        audit.prune()
        assert verify().startswith("The list of chains was changed")

    with undone():  # the entries of the list
        AuditRegistry.objects.update(chains={})
        record()
        audit.prune()
        assert verify().startswith("The list of chains was changed")
    assert verify() == "All 5 events are intact.\n"


@pytest.mark.usefixtures("database")
def test_a_trail_of_the_previous_version_continues() -> None:
    """Also if its last change was a pruning."""
    record(3)
    chain.prune(AuditEvent.objects.order_by("-position")[0].created_at)
    call_command("migrate", "accounts", "0015", verbosity=0)
    AuditChain.objects.filter(length=0).delete()  # the previous version created none
    call_command("migrate", verbosity=0)
    assert verify() == "All 1 events are intact.\n"
    record(2)
    assert verify() == "All 3 events are intact.\n"
    assert len(AuditRegistry.objects.get().chains) == (INITIAL_CHAINS if connection.vendor == "postgresql" else 1)


@pytest.mark.postgres
def test_writers_create_chains_while_allowed_and_then_wait(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writers = INITIAL_CHAINS + 4
    barrier, chains = threading.Barrier(writers, timeout=60), set()

    def write(_number: int) -> None:
        try:
            for _round in range(3):
                with transaction.atomic():
                    chain = record()
                    barrier.wait(20)  # all of them hold one
                chains.add(chain)
                barrier.wait(20)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    assert len(chains) == writers
    assert verify() == f"All {writers * 3} events are intact.\n"
    assert set(map(int, AuditRegistry.objects.get().chains)) == set(range(writers))

    monkeypatch.setattr(chain, "MAX_CHAINS", writers)
    with psycopg.connect(postgres) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT number FROM accounts_auditchain FOR UPDATE")
        waiting = pool.submit(write_and_close)
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
        eventually(lambda: other.execute(blocked.encode()).fetchone() == (1,))
        assert not waiting.done()
        other.rollback()
        assert waiting.result(20) in chains
    assert verify() == f"All {writers * 3 + 1} events are intact.\n"


def write_and_close() -> int:
    try:
        return record()
    finally:
        connections.close_all()


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres")
def test_another_secret_key_has_chains_before_its_first_writer(settings: Any) -> None:
    """Writers that make one need two connections each: with two of pgbouncer's, two of them waited for each other."""
    record()
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-" * 8
    bootstrap.run()
    made = AuditChain.objects.count()
    assert made == 2 * INITIAL_CHAINS
    assert record() >= INITIAL_CHAINS
    bootstrap.run()
    assert AuditChain.objects.count() == made
    assert verify().startswith("All ")


@pytest.mark.postgres
def test_a_database_role_without_privileges_blocks_no_writer(postgres: str) -> None:
    role = f"role_{connection.settings_dict['NAME']}"
    sql(f"CREATE ROLE {role} LOGIN")
    try:
        with psycopg.connect(postgres.replace("postgres@", f"{role}@")) as other:
            other.execute("SELECT pg_advisory_lock(1635084388, number) FROM generate_series(0, 1000) number")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), other.transaction():
                other.execute("SELECT number FROM accounts_auditchain FOR UPDATE")
            record(3)
        assert verify() == "All 3 events are intact.\n"
    finally:
        sql(f"DROP ROLE {role}")
