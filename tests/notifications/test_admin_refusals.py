"""What the outbox in the admin panel refuses."""

import pytest
from django.test import Client
from django.urls import reverse

from notifications.models import OutboxMail, State
from tests.notifications.conftest import Sees
from tests.notifications.test_admin import EVENTS, LIST, Owe, agree, choose, events, failed, page_of, press


def test_who_may_not_see_mails_sees_none(sees: Sees, owe: Owe) -> None:
    mail = owe()
    client = sees("users.view", "mails.change")
    for address in (LIST, page_of(mail), page_of(mail, "preview")):
        answer = client.get(address)
        assert answer.status_code == 403
        assert "ana@example.com" not in answer.content.decode()
    assert press(client, mail, "cancel").status_code == 403
    assert OutboxMail.objects.get().state == State.OWED


def test_strangers_are_asked_to_sign_in(owe: Owe) -> None:
    mail = owe()
    for address in (LIST, page_of(mail), page_of(mail, "preview")):
        assert Client().get(address)["Location"].startswith("/admin/login/")


def test_nobody_adds_or_deletes_or_edits_a_mail(manages: Client, owe: Owe) -> None:
    mail = owe()
    assert manages.get(reverse("admin:notifications_outboxmail_add")).status_code == 403
    for deed in ("delete", "change"):
        assert manages.post(page_of(mail, deed), {}).status_code == 403
    choose(manages, "delete_selected", mail)
    assert OutboxMail.objects.get() == mail


@pytest.mark.parametrize("action", EVENTS)
def test_who_may_only_look_changes_nothing(sees: Sees, owe: Owe, action: str) -> None:
    mail = failed(owe) if action == "retry" else owe()
    client = sees("mails.view")
    assert f'value="{action}"' not in client.get(LIST).content.decode()
    assert page_of(mail, "do", action) not in client.get(page_of(mail)).content.decode()
    agree(client, action, mail)
    assert press(client, mail, action).status_code == 403
    before = mail.state
    mail.refresh_from_db()
    assert mail.state == before
    assert events() == []


def test_a_link_alone_does_nothing(manages: Client, owe: Owe) -> None:
    mail = owe()
    assert manages.get(page_of(mail, "do", "cancel")).status_code == 403
    assert press(manages, mail, "shred").status_code == 403
    mail.refresh_from_db()
    assert mail.state == State.OWED


def test_too_many_at_once_are_refused(manages: Client, owe: Owe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.admin.confirmation.LIMIT", 1)
    assert "At most 1 at once" in agree(manages, "cancel", owe(), owe())
    assert set(OutboxMail.objects.values_list("state", flat=True)) == {State.OWED}
