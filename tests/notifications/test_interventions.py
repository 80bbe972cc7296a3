"""What people do about mails, while others send them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from accounts import audit, users
from notifications import delivery, interventions, mail_server, outbox
from notifications.models import OutboxMail, State
from tests.notifications.post import Post
from tests.usermanager.processes import eventually


def in_a_thread(mail: OutboxMail) -> None:
    delivery.deliver(mail.pk)
    mail_server.hang_up()
    connection.close()


def test_a_mail_that_is_cancelled_and_sent_again_while_it_is_sent_comes_once(database: str, post: Post) -> None:
    users.create("ana@example.com", password="correct horse battery", actor=None)
    OutboxMail.objects.all().delete()
    owed = outbox.put("already_registered", email="ana@example.com")
    mail = OutboxMail.objects.filter(pk=owed.pk)
    post.delay_seconds = 0.3
    with ThreadPoolExecutor(1) as first:
        sending = first.submit(in_a_thread, owed)
        eventually(lambda: mail.get().state == State.SENDING)
        assert interventions.cancel(mail, actor=None)
        assert interventions.send_again(mail, actor=None)
        delivery.deliver(owed.pk)
        sending.result()
    assert mail.get().state == State.SENT
    assert len(post.mails) == 1


def test_others_may_write_after_at_most_fifty_mails(
    owe: Callable[..., OutboxMail], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite nobody else does while a transaction is open; what was done by its end stands, whatever comes later."""
    record, recorded = audit.record, 0

    def fail_after_fifty(*arguments: Any, **data: Any) -> None:
        nonlocal recorded
        if recorded == 50:
            raise RuntimeError("the disk is full")
        recorded += 1
        record(*arguments, **data)

    for _ in range(60):
        owe()
    monkeypatch.setattr(audit, "record", fail_after_fifty)
    with pytest.raises(RuntimeError):
        interventions.cancel(OutboxMail.objects.all(), actor=None)
    assert OutboxMail.objects.filter(state=State.CANCELLED).count() == 50
