"""How the databases find what probes and Prometheus ask of the outbox: in an index, not in the table.

Whether an index can serve is asked, not whether so few mails are worth it: PostgreSQL is told to avoid the rest.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import outbox
from notifications.models import OutboxMail, State


@pytest.fixture
def mails(database: str) -> None:
    for number in range(100):
        outbox.put("already_registered", email=f"user{number}@example.com")
    settled = OutboxMail.objects.filter(email__contains="5")
    settled.update(state=State.SENT, sent_at=timezone.now())
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE notifications_outboxmail")
            cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")


def plans(ask: Callable[[], object]) -> list[str]:
    """How each of the queries is carried out."""
    with CaptureQueriesContext(connection) as asked:
        ask()
    with connection.cursor() as cursor:
        found = []
        for one in list(asked):
            cursor.execute(f"EXPLAIN {'' if connection.vendor == 'postgresql' else 'QUERY PLAN'} {one['sql']}")
            found.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
    return found


@pytest.mark.usefixtures("mails")
def test_the_numbers_of_mails_are_read_from_an_index_alone() -> None:
    (plan,) = plans(outbox.numbers)
    expected = "Index Only Scan" if connection.vendor == "postgresql" else "USING COVERING INDEX mail_state"
    assert expected in plan


@pytest.mark.usefixtures("mails")
def test_the_oldest_mail_is_the_first_of_each_state_in_an_index() -> None:
    found = plans(outbox.oldest_owed)
    assert len(found) == len(outbox.UNSENT)
    for plan in found:
        if connection.vendor == "postgresql":
            assert "Limit" in plan
            assert "Index Only Scan using mail_state" in plan
        else:
            assert "SEARCH notifications_outboxmail USING COVERING INDEX mail_state (state=?)" in plan


@pytest.mark.usefixtures("mails")
def test_what_is_told_of_the_outbox_is_right() -> None:
    assert outbox.numbers() == {"owed": 81, "sending": 0, "sent": 19, "failed": 0, "cancelled": 0}
    assert outbox.oldest_owed() < timedelta(minutes=1)
    sending = outbox.claim(OutboxMail.objects.filter(state=State.OWED)[0].pk)
    assert sending
    OutboxMail.objects.filter(pk=sending.pk).update(created_at=timezone.now() - timedelta(hours=2))
    OutboxMail.objects.filter(state=State.SENT).update(created_at=timezone.now() - timedelta(days=2))
    assert timedelta(hours=2) <= outbox.oldest_owed() < timedelta(hours=3)
    OutboxMail.objects.all().delete()
    assert outbox.oldest_owed() == timedelta()
