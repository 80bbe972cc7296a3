"""The audit trail reveals changes: the ORM rejects them, and `manage.py audit verify` finds changes made with SQL."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.serializers import deserialize, serialize
from django.db import connection, connections, models, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts import audit, pruning, request_context, users
from accounts.audit import chain
from accounts.models import AuditChain, AuditEvent, User
from accounts.models.audit_event import Unchangeable

WRITERS = 8


def verify(*words: str) -> str:
    out = StringIO()
    call_command("audit", "verify", *words, stdout=out)
    return out.getvalue()


def broken() -> str:
    with pytest.raises(CommandError) as raised:
        verify()
    assert raised.value.returncode == 1
    return str(raised.value)


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        assert cursor.rowcount == 1


@pytest.fixture
def trail(ana: User) -> list[AuditEvent]:
    """Five events of ana's, from an address and a device."""
    token = request_context.current.set(request_context.RequestContext("2001:db8::1", "curl/8", "r-1"))
    written = [audit.record("user:changed", ana, actor=ana, fields=[str(number)]) for number in range(5)]
    request_context.current.reset(token)
    return written


def test_an_unchanged_trail_is_intact(trail: list[AuditEvent]) -> None:
    assert verify() == "All 5 events are intact.\n"
    assert json.loads(verify("--json")) == {"intact": True, "events": 5, "fault": None}


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event.save(),
        lambda event: event.delete(),
        lambda event: AuditEvent(kind="user:changed").save(),
        lambda event: AuditEvent.objects.create(kind="user:changed"),
        lambda event: AuditEvent.objects.filter(pk=event.pk).update(kind="user:deleted"),
        lambda event: AuditEvent.objects.all().delete(),
        lambda event: AuditEvent.objects.bulk_update([event], ["kind"]),
        lambda event: AuditEvent.objects.bulk_create([AuditEvent(kind="user:changed")]),
        lambda event: AuditEvent.objects.update_or_create({"kind": "user:deleted"}, pk=event.pk),
        lambda event: AuditEvent._base_manager.filter(pk=event.pk).update(kind="user:deleted"),
        lambda event: next(deserialize("json", serialize("json", [event]))).save(),  # as loaddata does
    ],
)
def test_the_orm_cannot_change_delete_or_add_an_event(
    trail: list[AuditEvent], change: Callable[[AuditEvent], object]
) -> None:
    before = list(AuditEvent.objects.order_by("id").values())
    with pytest.raises(Unchangeable), transaction.atomic():
        change(trail[2])
    assert list(AuditEvent.objects.order_by("id").values()) == before


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'user:deleted'",
        "user_id = NULL",
        "actor_id = NULL",
        "created_at = '2020-01-01 00:00:00+00:00'",
        "request_id = 'r-2'",
        'data = \'{"fields": ["role"]}\'',
        "ip = '192.0.2.1'",
        "user_agent = 'wget'",
        "origin_digest = 'x'",
        "hash = 'x'",
    ],
)
def test_a_changed_event_is_named(trail: list[AuditEvent], change: str) -> None:
    sql(f"UPDATE accounts_auditevent SET {change} WHERE position = %s", trail[2].position)  # noqa: S608
    assert f"event {trail[2].pk} " in broken()


def test_a_removed_event_is_reported(trail: list[AuditEvent]) -> None:
    sql("DELETE FROM accounts_auditevent WHERE position = %s", 3)
    assert broken().startswith("Events 3 to 3 of chain 0, before event ")


def test_a_removed_first_event_is_reported(trail: list[AuditEvent]) -> None:
    sql("DELETE FROM accounts_auditevent WHERE position = %s", 1)
    assert broken().startswith("Events 1 to 1 of chain 0")


def test_removed_newest_events_are_reported(trail: list[AuditEvent]) -> None:
    sql("DELETE FROM accounts_auditevent WHERE position = %s", 5)
    assert broken() == "Events 5 to 5 of chain 0, its newest, are missing."


def test_a_shortened_chain_is_reported(trail: list[AuditEvent]) -> None:
    sql("DELETE FROM accounts_auditevent WHERE position = %s", 5)
    sql("UPDATE accounts_auditchain SET length = 4, head = %s", trail[3].hash)
    assert "row of chain 0 was changed" in broken()


def test_new_events_go_into_another_chain_after_one_was_changed(trail: list[AuditEvent]) -> None:
    sql("DELETE FROM accounts_auditevent WHERE position = %s", 5)
    sql("UPDATE accounts_auditchain SET length = 4, head = %s", trail[3].hash)
    assert audit.record("user:exported", trail[0].user_id, actor=None).chain == 1
    assert "row of chain 0 was changed" in broken()


@pytest.mark.parametrize(("chain", "position"), [(0, 6), (7, 1)])
def test_an_inserted_event_is_named(trail: list[AuditEvent], chain: int, position: int) -> None:
    forged = AuditEvent(kind="user:role_changed", chain=chain, position=position, hash=trail[4].hash)
    plain: models.QuerySet[AuditEvent] = models.QuerySet(AuditEvent)
    plain.bulk_create([forged])
    assert f"event {forged.pk} " in broken()


def test_two_swapped_events_are_reported(trail: list[AuditEvent]) -> None:
    for position, place in ((2, 9), (3, 2), (9, 3)):
        sql("UPDATE accounts_auditevent SET position = %s WHERE position = %s", place, position)
    assert f"event {trail[2].pk} " in broken()


def test_the_trail_stays_intact_when_a_user_is_deleted(trail: list[AuditEvent], ana: User) -> None:
    users.delete(ana, actor=None)
    blank = {"ip": None, "user_agent": "", "request_id": "", "origin_salt": ""}
    assert not AuditEvent.objects.exclude(**blank).filter(actor_id=ana.pk).exists()
    assert "All 6 events" in verify()


def test_an_event_whose_hash_covers_the_request_id_is_still_verified(ana: User) -> None:
    """It keeps its request id. Without the id, its hash could not be verified."""
    token = request_context.current.set(request_context.RequestContext("2001:db8::1", "curl/8", "r-1"))
    old = AuditEvent(kind="user:changed", user_id=ana.pk, actor_id=ana.pk, ip="192.0.2.1", request_id="r-0")
    old.has_request_in_digest = False
    chain.append([old])
    audit.record("user:changed", ana, actor=ana)
    request_context.current.reset(token)
    users.delete(ana, actor=None)
    assert "All 3 events" in verify()
    assert list(AuditEvent.objects.order_by("position").values_list("ip", "request_id")) == [
        (None, "r-0"),
        (None, ""),
        (None, ""),
    ]
    sql("UPDATE accounts_auditevent SET request_id = 'r-2' WHERE position = 1")
    assert f"event {old.pk} " in broken()


def test_the_request_context_of_an_existing_user_may_not_be_erased(trail: list[AuditEvent]) -> None:
    sql("UPDATE accounts_auditevent SET ip = NULL, user_agent = '', origin_salt = '' WHERE position = %s", 2)
    assert f"The IP address and device of event {trail[1].pk} " in broken()
    assert "were erased" in broken()


def test_old_events_are_pruned_and_the_rest_of_the_trail_stays_intact(trail: list[AuditEvent]) -> None:
    assert audit.prune() == 0
    assert chain.prune(trail[3].created_at) == 3
    assert list(AuditEvent.objects.order_by("position")) == trail[3:]
    assert "All 2 events" in verify()
    sql("DELETE FROM accounts_auditevent WHERE position = %s", 4)
    assert broken().startswith("Events 4 to 4 of chain 0")


def test_old_events_are_pruned_in_small_steps(trail: list[AuditEvent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_SIZE", 2)
    with CaptureQueriesContext(connection) as queries:
        assert chain.prune(trail[3].created_at) == 3
    assert sum(query["sql"].startswith("DELETE") for query in queries) == 2
    assert "All 2 events" in verify()


def test_an_earlier_key_still_verifies_its_chain(trail: list[AuditEvent], settings: Settings) -> None:
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another " * 8
    assert audit.record("user:exported", trail[0].user_id, actor=None).chain == 1
    assert "All 6 events" in verify()
    settings.SECRET_KEY_FALLBACKS = []
    assert "row of chain 0 was changed" in broken()


def test_the_command_lists_events_as_the_api_does(trail: list[AuditEvent], bruno: User) -> None:
    audit.record("login:failed", bruno, actor=None, code="invalid_credentials")
    out = StringIO()
    call_command("audit", "list", "--kind", "login:failed", "--user", str(bruno.pk), "--json", stdout=out)
    (listed,) = json.loads(out.getvalue())
    assert (listed["kind"], listed["user"], listed["data"]) == (
        "login:failed",
        str(bruno.pk),
        {"code": "invalid_credentials"},
    )
    assert set(listed) == {"id", "kind", "user", "actor", "created_at", "ip", "user_agent", "request_id", "data"}


def test_the_command_rejects_an_invalid_filter() -> None:
    with pytest.raises(CommandError) as raised:
        call_command("audit", "list", "--kind", "nonsense")
    assert raised.value.returncode == 2


@pytest.mark.usefixtures("database")
def test_concurrent_writers_leave_intact_chains() -> None:
    barrier = threading.Barrier(WRITERS, timeout=60)

    def write(_number: int) -> None:
        barrier.wait()
        for _round in range(10):
            with transaction.atomic():
                audit.record("user:changed", None, actor=None, fields=["a"])
                audit.record("user:changed", None, actor=None, fields=["b"])
        connections.close_all()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    assert f"All {WRITERS * 20} events" in verify()
    lengths = dict(AuditChain.objects.values_list("number", "length"))
    assert sum(lengths.values()) == WRITERS * 20
    if connection.vendor == "sqlite":
        assert set(lengths) == {0}


@pytest.mark.usefixtures("database")
def test_a_rollback_leaves_no_gap() -> None:
    audit.record("user:changed", None, actor=None)
    with transaction.atomic():
        audit.record("user:changed", None, actor=None)
        transaction.set_rollback(True)
    audit.record("user:changed", None, actor=None)
    assert "All 2 events" in verify()


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres")
def test_a_writer_never_waits_for_another() -> None:
    """A writer with a chain that waits for a row must not deadlock with one that has the row and waits."""
    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        ours = audit.record("user:changed", None, actor=None).chain
        other = pool.submit(_record_and_close)
        assert other.result(timeout=5) != ours
    assert "All 2 events" in verify()


def _record_and_close() -> int:
    try:
        return audit.record("user:changed", None, actor=None).chain
    finally:
        connections.close_all()
