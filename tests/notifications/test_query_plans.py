"""Query plans of the outbox: health checks and Prometheus read an index, not the table.

PostgreSQL gets settings that make it use an index if it can: for so few emails it would read the table.
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
def emails(database: str) -> None:
    for number in range(100):
        outbox.enqueue("already_registered", email=f"user{number}@example.com")
    settled = OutboxMail.objects.filter(email__contains="5")
    settled.update(state=State.SENT, sent_at=timezone.now())
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE notifications_outboxmail")
            cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")


def plans(ask: Callable[[], object]) -> list[str]:
    """Returns the plan of each query."""
    with CaptureQueriesContext(connection) as asked:
        ask()
    with connection.cursor() as cursor:
        found = []
        for one in list(asked):
            cursor.execute(f"EXPLAIN {'' if connection.vendor == 'postgresql' else 'QUERY PLAN'} {one['sql']}")
            found.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
    return found


@pytest.mark.usefixtures("emails")
def test_the_counts_of_emails_need_an_index_alone() -> None:
    (plan,) = plans(outbox.count_by_state)
    expected = "Index Only Scan" if connection.vendor == "postgresql" else "USING COVERING INDEX mail_state"
    assert expected in plan


@pytest.mark.usefixtures("emails")
def test_the_oldest_email_is_the_first_of_each_state_in_an_index() -> None:
    found = plans(outbox.oldest_pending_age)
    assert len(found) == len(outbox.UNSENT)
    for plan in found:
        if connection.vendor == "postgresql":
            assert "Limit" in plan
            assert "Index Only Scan using mail_state" in plan
        else:
            assert "SEARCH notifications_outboxmail USING COVERING INDEX mail_state (state=?)" in plan


@pytest.mark.usefixtures("emails")
def test_the_figures_of_the_outbox_are_right() -> None:
    assert outbox.count_by_state() == {"owed": 81, "sending": 0, "sent": 19, "failed": 0, "cancelled": 0}
    assert outbox.oldest_pending_age() < timedelta(minutes=1)
    sending = outbox.claim(OutboxMail.objects.filter(state=State.PENDING)[0].pk)
    assert sending
    OutboxMail.objects.filter(pk=sending.pk).update(created_at=timezone.now() - timedelta(hours=2))
    OutboxMail.objects.filter(state=State.SENT).update(created_at=timezone.now() - timedelta(days=2))
    assert timedelta(hours=2) <= outbox.oldest_pending_age() < timedelta(hours=3)
    OutboxMail.objects.all().delete()
    assert outbox.oldest_pending_age() == timedelta()
