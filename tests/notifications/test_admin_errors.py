"""Rejected requests to the outbox in the admin panel."""

import pytest
from django.test import Client
from django.urls import reverse

from notifications.models import OutboxMail, State
from tests.notifications.conftest import Sees
from tests.notifications.test_admin import EVENTS, LIST, Enqueue, agree, choose, events, failed, page_of, press


def test_without_permission_no_email_is_shown(sees: Sees, enqueue: Enqueue) -> None:
    mail = enqueue()
    client = sees("users.view", "mails.change")
    for address in (LIST, page_of(mail), page_of(mail, "preview")):
        answer = client.get(address)
        assert answer.status_code == 403
        assert "ana@example.com" not in answer.content.decode()
    assert press(client, mail, "cancel").status_code == 403
    assert OutboxMail.objects.get().state == State.PENDING


def test_strangers_are_asked_to_sign_in(enqueue: Enqueue) -> None:
    mail = enqueue()
    for address in (LIST, page_of(mail), page_of(mail, "preview")):
        assert Client().get(address)["Location"].startswith("/admin/login/")


def test_emails_cannot_be_added_deleted_or_edited(manages: Client, enqueue: Enqueue) -> None:
    mail = enqueue()
    assert manages.get(reverse("admin:notifications_outboxmail_add")).status_code == 403
    for action in ("delete", "change"):
        assert manages.post(page_of(mail, action), {}).status_code == 403
    choose(manages, "delete_selected", mail)
    assert OutboxMail.objects.get() == mail


@pytest.mark.parametrize("action", EVENTS)
def test_view_permission_allows_no_action(sees: Sees, enqueue: Enqueue, action: str) -> None:
    mail = failed(enqueue) if action == "retry" else enqueue()
    client = sees("mails.view")
    assert f'value="{action}"' not in client.get(LIST).content.decode()
    assert page_of(mail, "action", action) not in client.get(page_of(mail)).content.decode()
    agree(client, action, mail)
    assert press(client, mail, action).status_code == 403
    before = mail.state
    mail.refresh_from_db()
    assert mail.state == before
    assert events() == []


def test_a_link_alone_does_nothing(manages: Client, enqueue: Enqueue) -> None:
    mail = enqueue()
    assert manages.get(page_of(mail, "action", "cancel")).status_code == 403
    assert press(manages, mail, "shred").status_code == 403
    mail.refresh_from_db()
    assert mail.state == State.PENDING


def test_too_many_emails_at_once_are_rejected(
    manages: Client, enqueue: Enqueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.admin.confirmation.LIMIT", 1)
    assert "You can select at most 1." in agree(manages, "cancel", enqueue(), enqueue())
    assert set(OutboxMail.objects.values_list("state", flat=True)) == {State.PENDING}
