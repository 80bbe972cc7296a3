"""Emails of a kind that only a later version supports, after a downgrade: they have no preview, and wait."""

import json
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import User
from notifications.models import OutboxMail, State
from notifications.sending import delivery
from tests.notifications.mail_server import MailServer

Enqueue = Callable[..., OutboxMail]


@pytest.mark.parametrize(
    ("language", "words"), [("en", "No preview: this version"), ("es", "Sin vista previa: esta versión")]
)
def test_the_admin_panel_shows_them(root: User, enqueue: Enqueue, language: str, words: str) -> None:
    mail, client = enqueue("goodbye"), Client(HTTP_ACCEPT_LANGUAGE=language)
    client.force_login(root, backend="accounts.backends.LoginBackend")
    page = client.get(reverse("admin:notifications_outboxmail_change", args=[mail.pk])).content.decode()
    assert words in page
    assert "<iframe" not in page
    assert reverse("admin:notifications_outboxmail_action", args=[mail.pk, "cancel"]) in page
    assert client.get(reverse("admin:notifications_outboxmail_preview", args=[mail.pk])).status_code == 404
    assert "goodbye" in client.get(reverse("admin:notifications_outboxmail_changelist")).content.decode()


def test_the_command_shows_them(enqueue: Enqueue, capsys: pytest.CaptureFixture[str]) -> None:
    mail = enqueue("goodbye")
    call_command("mails", "show", str(mail.pk))
    assert "No preview" in capsys.readouterr().out
    call_command("mails", "show", str(mail.pk), "--json")
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["subject"], document["text"]) == ("goodbye", None, None)


def test_a_kind_of_a_newer_version_is_retried(enqueue: Enqueue, ana: User, mail_server: MailServer) -> None:
    mail = enqueue("birthday")
    delivery.deliver(mail.pk)
    settled = OutboxMail.objects.get(pk=mail.pk)
    assert (settled.state, settled.last_error) == (State.PENDING, "This version does not support this kind of email.")
    assert mail_server.mails == []
