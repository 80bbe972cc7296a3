"""Retries and cancels while a sender is at work."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from accounts import audit, users
from notifications import actions, outbox
from notifications.models import OutboxMail, State
from notifications.sending import delivery, smtp
from tests.notifications.mail_server import MailServer
from tests.usermanager.processes import eventually


def in_a_thread(mail: OutboxMail) -> None:
    delivery.deliver(mail.pk)
    smtp.disconnect()
    connection.close()


def test_an_email_cancelled_and_retried_while_being_sent_arrives_once(database: str, mail_server: MailServer) -> None:
    users.create("ana@example.com", password="correct horse battery", actor=None)
    OutboxMail.objects.all().delete()
    owed = outbox.enqueue("already_registered", email="ana@example.com")
    mail = OutboxMail.objects.filter(pk=owed.pk)
    mail_server.delay_seconds = 0.3
    with ThreadPoolExecutor(1) as first:
        sending = first.submit(in_a_thread, owed)
        eventually(lambda: mail.get().state == State.SENDING)
        assert actions.cancel(mail, actor=None)
        assert actions.send_again(mail, actor=None)
        delivery.deliver(owed.pk)
        sending.result()
    assert mail.get().state == State.SENT
    assert len(mail_server.mails) == 1


def test_other_processes_may_write_after_at_most_fifty_emails(
    enqueue: Callable[..., OutboxMail], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite no other process writes during a transaction. Batches that are committed stay, if a later one fails."""
    record, recorded = audit.record, 0

    def fail_after_fifty(*arguments: Any, **data: Any) -> None:
        nonlocal recorded
        if recorded == 50:
            raise RuntimeError("the disk is full")
        recorded += 1
        record(*arguments, **data)

    for _ in range(60):
        enqueue()
    monkeypatch.setattr(audit, "record", fail_after_fifty)
    with pytest.raises(RuntimeError):
        actions.cancel(OutboxMail.objects.all(), actor=None)
    assert OutboxMail.objects.filter(state=State.CANCELLED).count() == 50
