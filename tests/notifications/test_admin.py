"""The outbox in the admin panel."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from notifications import outbox
from notifications.models import OutboxMail, State

Owe = Callable[..., OutboxMail]
LIST = reverse("admin:notifications_outboxmail_changelist")


@pytest.fixture
def sees(person: Callable[..., User], role: Callable[..., Role]) -> Callable[..., Client]:
    """Somebody signed in to the panel who holds these permissions."""

    def sign_in(*permissions: str) -> Client:
        role("some", *permissions)
        client = Client()
        client.force_login(person("carla", role="some"), backend="accounts.backends.LoginBackend")
        return client

    return sign_in


def act(client: Client, action: str, mail: OutboxMail) -> str:
    """What the page says after the action."""
    answer = client.post(LIST, {"action": action, "_selected_action": [str(mail.pk)]}, follow=True)
    return answer.content.decode()


def failed(owe: Owe) -> OutboxMail:
    mail = owe()
    claimed = outbox.claim(mail.pk)
    assert claimed
    outbox.settle_failed(claimed, "550 no such user")
    return mail


def test_who_may_see_mails_sees_how_each_went(sees: Callable[..., Client], owe: Owe) -> None:
    mail = failed(owe)
    client = sees("mails.view")
    listed = client.get(LIST).content.decode()
    for text in ("ana@example.com", "already_registered", "550 no such user", "failed"):
        assert text in listed
    page = client.get(reverse("admin:notifications_outboxmail_change", args=[mail.pk])).content.decode()
    assert "550 no such user" in page
    assert 'name="_save"' not in page


@pytest.mark.parametrize("found", ["ana@example.com", "id"])
def test_a_mail_is_found_by_its_address_and_by_its_id(sees: Callable[..., Client], owe: Owe, found: str) -> None:
    mail = owe()
    owe(email="bruno@example.com")
    page = sees("mails.view").get(LIST, {"q": str(mail.pk) if found == "id" else found}).content.decode()
    assert str(mail.pk) in page
    assert "bruno@example.com" not in page


def test_who_may_not_see_mails_sees_none(sees: Callable[..., Client], owe: Owe) -> None:
    mail = owe()
    client = sees("users.view")
    assert client.get(LIST).status_code == 403
    assert client.get(reverse("admin:notifications_outboxmail_change", args=[mail.pk])).status_code == 403


def test_nobody_adds_or_deletes_or_edits_a_mail(sees: Callable[..., Client], owe: Owe) -> None:
    mail = owe()
    client = sees("mails.view", "mails.change")
    assert client.get(reverse("admin:notifications_outboxmail_add")).status_code == 403
    assert client.post(reverse("admin:notifications_outboxmail_delete", args=[mail.pk])).status_code == 403
    assert client.post(reverse("admin:notifications_outboxmail_change", args=[mail.pk]), {}).status_code == 403
    act(client, "delete_selected", mail)
    assert OutboxMail.objects.get() == mail


def test_a_failed_mail_is_sent_again(sees: Callable[..., Client], owe: Owe) -> None:
    mail = failed(owe)
    assert "1 mail will be tried again." in act(sees("mails.view", "mails.change"), "retry", mail)
    stored = OutboxMail.objects.get()
    assert (stored.state, stored.attempts) == (State.OWED, 0)


def test_an_owed_mail_is_cancelled(sees: Callable[..., Client], owe: Owe) -> None:
    assert "1 mail was cancelled." in act(sees("mails.view", "mails.change"), "cancel", owe())
    assert OutboxMail.objects.get().state == State.CANCELLED


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_who_may_only_look_changes_nothing(sees: Callable[..., Client], owe: Owe, action: str) -> None:
    mail = failed(owe)
    client = sees("mails.view")
    assert f'value="{action}"' not in client.get(LIST).content.decode()
    act(client, action, mail)
    assert OutboxMail.objects.get().state == State.FAILED
