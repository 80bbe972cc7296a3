"""A rejection of the installation holds the queue: no email fails or uses up an attempt, and all go out later."""

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from notifications import outbox
from notifications.models import MAX_ATTEMPTS, DeliveryHold, OutboxMail, State
from notifications.sending import delivery, hold
from tests.notifications.mail_server import MailServer

Enqueue = Callable[..., OutboxMail]

RELAY_DENIED = "554 5.7.1 <ana@example.com>: Relay access denied"

INSTALLATION = [
    ("EHLO", "554 5.7.1 client host [192.0.2.1] blocked using bl.example"),
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
    ("MAIL", "550 5.7.1 not you"),
    ("MAIL", "553 5.1.8 sender domain not found"),
    ("MAIL", "553 5.7.1 <no-reply@localhost>: Sender address rejected: not owned by user"),
    ("MAIL", "555 5.5.4 unsupported parameters"),
    ("RCPT", "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"),
    ("RCPT", "450 4.7.1 <localhost>: Helo command rejected: Host not found"),
    ("RCPT", "450 4.7.25 Client host rejected: cannot find your reverse hostname"),
    ("RCPT", RELAY_DENIED),
    ("RCPT", "550 relay not permitted"),
    ("RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    ("RCPT", "553 5.1.8 <no-reply@localhost>: Sender address rejected"),
    ("RCPT", "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied"),
    ("RCPT", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.example"),
    ("RCPT", "535 5.7.8 bad credentials"),
    ("RCPT", "530 5.7.0 Authentication required"),
    ("RCPT", "550 5.7.1 Unable to send"),
    ("DATA", "550 5.7.26 This email is unauthenticated: SPF and DKIM did not pass"),
    ("DATA", "554 5.7.9 message rejected, DMARC policy"),
]
ONE = [
    ("RCPT", "550 5.1.1 no such user"),
    ("RCPT", "550 no"),
    ("RCPT", "550 5.1.0 rejected"),
    ("RCPT", "550 5.2.1 mailbox disabled"),
    ("RCPT", "552 5.2.2 mailbox full"),
    ("RCPT", "550 5.4.1 Recipient address rejected: Access denied"),
    ("RCPT", "554 5.7.1 <ana@example.com>: Recipient address rejected: Access denied"),
    ("RCPT", "553 5.1.3 bad address syntax"),
    ("RCPT", "551 user not local"),
    ("RCPT", "556 5.1.10 domain accepts no mail"),
    ("MAIL", "552 5.3.4 message too large"),
    ("DATA", "554 5.7.1 spam"),
    ("DATA", "550 blocked for: {mail}"),
    ("DATA", "554 5.6.0 bad content"),
]
TEMPORARY = [
    ("MAIL", "421 4.7.0 too many connections"),
    ("RCPT", "451 4.7.1 greylisted"),
    ("RCPT", "452 4.2.2 mailbox full"),
    ("DATA", "451 4.3.0 later"),
]


def deliver(mail: OutboxMail) -> OutboxMail:
    delivery.deliver(mail.pk)
    return OutboxMail.objects.get(pk=mail.pk)


def probe() -> OutboxMail | None:
    """Does what the relay does in each round while the queue is held."""
    held = hold.current()
    assert held
    chosen = hold.choose_probe(held)
    return deliver(chosen) if chosen else None


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    def passed(time: timedelta) -> None:
        now = timezone.now() + time
        monkeypatch.setattr("django.utils.timezone.now", lambda: now)

    return passed


@pytest.mark.parametrize("rejection", INSTALLATION)
def test_an_error_about_the_installation_fails_no_email_and_uses_up_no_attempt(
    enqueue: Enqueue, ana: User, mail_server: MailServer, caplog: pytest.LogCaptureFixture, rejection: tuple[str, str]
) -> None:
    stage, answer = rejection
    mail_server.answers[stage] = answer
    refused, other = enqueue(), enqueue()
    with caplog.at_level(logging.ERROR):
        settled = deliver(refused)
        assert (settled.state, settled.attempts, settled.last_error) == (State.PENDING, 0, answer)
        waiting = deliver(other)
    assert (waiting.state, waiting.attempts, waiting.last_error) == (State.PENDING, 0, "")
    assert len(caplog.records) == 1
    assert "ana@example.com" not in caplog.text
    mail_server.answers.clear()
    sent = probe()
    assert sent
    assert (sent.pk, sent.state) == (other.pk, State.SENT)
    assert hold.current() is None


@pytest.mark.parametrize(("stage", "answer"), ONE)
def test_an_error_about_one_email_fails_it_and_does_not_hold_the_queue(
    enqueue: Enqueue, ana: User, mail_server: MailServer, stage: str, answer: str
) -> None:
    mail_server.answers[stage] = answer
    settled = deliver(enqueue())
    assert (settled.state, settled.attempts) == (State.FAILED, 1)
    assert hold.current() is None


@pytest.mark.parametrize(("stage", "answer"), TEMPORARY)
def test_a_temporary_error_does_not_hold_the_queue(
    enqueue: Enqueue, ana: User, mail_server: MailServer, stage: str, answer: str
) -> None:
    mail_server.answers[stage] = answer
    settled = deliver(enqueue())
    assert (settled.state, settled.attempts) == (State.PENDING, 1)
    assert hold.current() is None


@pytest.mark.parametrize("name", ["EMAIL_USE_TLS", "EMAIL_USE_SSL", "EMAIL_HOST_USER"])
def test_settings_that_the_server_does_not_support_hold_the_queue(
    enqueue: Enqueue, ana: User, mail_server: MailServer, settings: Settings, name: str
) -> None:
    setattr(settings, name, "ana" if name == "EMAIL_HOST_USER" else True)
    settings.EMAIL_HOST_PASSWORD = "secret"
    assert deliver(enqueue()).attempts == 0
    assert hold.current()


def test_during_a_hold_probes_become_less_frequent(
    enqueue: Enqueue, ana: User, mail_server: MailServer, pass_time: Callable[[timedelta], None]
) -> None:
    mail_server.answers["RCPT"] = RELAY_DENIED
    mails = [enqueue() for _ in range(4)]
    deliver(mails[0])
    tried: list[UUID] = []
    for pause in (0, 29, 2, 59, 2, 119, 2):
        pass_time(timedelta(seconds=pause))
        if refused := probe():
            tried.append(refused.pk)
        assert probe() is None
    assert tried == [mails[1].pk, mails[2].pk, mails[3].pk, mails[0].pk]
    assert set(OutboxMail.objects.values_list("state", "attempts")) == {(State.PENDING, 0)}
    pass_time(hold.MAX_PAUSE)
    mail_server.answers.clear()
    assert probe()
    for mail in OutboxMail.objects.filter(state=State.PENDING):
        assert deliver(mail).state == State.SENT
    assert set(OutboxMail.objects.values_list("attempts", flat=True)) == {1}


def test_a_single_rejected_email_holds_the_others_briefly_and_fails_in_the_end(
    enqueue: Enqueue, ana: User, mail_server: MailServer, pass_time: Callable[[timedelta], None]
) -> None:
    """The text of the rejection is about the installation, but the server accepts all other emails."""
    bad = enqueue()
    for attempts in range(1, MAX_ATTEMPTS + 1):
        mail_server.answers["RCPT"] = RELAY_DENIED
        deliver(bad)
        assert hold.current()
        mail_server.answers.clear()
        enqueue()
        sent = probe()
        assert sent
        assert (sent.state, hold.current()) == (State.SENT, None)
        bad.refresh_from_db()
        assert bad.attempts == attempts
        pass_time(timedelta(days=1))
    assert bad.state == State.FAILED


def test_a_single_email_rejected_again_and_again_delays_no_other(
    enqueue: Enqueue, ana: User, mail_server: MailServer, pass_time: Callable[[timedelta], None]
) -> None:
    """A client can register an address that the server rejects. With few emails, no other one shows the difference."""
    mail_server.answers["RCPT"] = RELAY_DENIED
    bad = enqueue()
    deliver(bad)
    for pause in (30, 29, 2, 62, 124, 248, 299, 2):
        pass_time(timedelta(seconds=pause))
        refused = probe()
        assert (refused is None) == (pause in (29, 299))
    mail_server.answers.clear()
    other = enqueue()
    sent = probe()
    assert sent
    assert (sent.pk, sent.state, hold.current()) == (other.pk, State.SENT, None)
    bad.refresh_from_db()
    assert bad.attempts == 1


@pytest.mark.parametrize("action", ["delete", "cancel"])
def test_the_hold_of_an_empty_queue_ends(enqueue: Enqueue, ana: User, mail_server: MailServer, action: str) -> None:
    mail_server.answers["RCPT"] = RELAY_DENIED
    refused = enqueue()
    deliver(refused)
    assert probe() is None
    assert hold.current()
    refused.delete() if action == "delete" else call_command("mails", "cancel", str(refused.pk))
    assert probe() is None
    assert hold.current() is None


def test_while_others_are_sent_an_error_about_one_recipient_does_not_hold_the_queue(
    enqueue: Enqueue, ana: User, mail_server: MailServer
) -> None:
    deliver(enqueue())
    mail_server.answers["RCPT"] = RELAY_DENIED
    settled = deliver(enqueue())
    assert (settled.state, settled.attempts) == (State.PENDING, 1)
    assert hold.current() is None
    mail_server.answers = {"MAIL": "550 5.7.1 not you"}
    deliver(enqueue())
    assert hold.current()


def test_one_of_many_callers_chooses_the_probe(enqueue: Enqueue, ana: User, mail_server: MailServer) -> None:
    mail_server.answers["MAIL"] = RELAY_DENIED
    deliver(enqueue())
    enqueue(), enqueue()
    held = hold.current()
    assert held
    assert hold.choose_probe(held)
    assert hold.choose_probe(held) is None


def test_a_probe_whose_sender_dies_is_followed_by_another(
    enqueue: Enqueue, ana: User, mail_server: MailServer, pass_time: Callable[[timedelta], None]
) -> None:
    mail_server.answers["MAIL"] = RELAY_DENIED
    deliver(enqueue())
    enqueue(), enqueue()
    held = hold.current()
    assert held
    dead = hold.choose_probe(held)
    assert dead
    assert outbox.claim(dead.pk)
    mail_server.answers.clear()
    pass_time(outbox.LEASE)
    sent = probe()
    assert sent
    assert (sent.pk != dead.pk, sent.state, hold.current()) == (True, State.SENT, None)


def test_an_obsolete_probe_is_replaced(enqueue: Enqueue, ana: User, mail_server: MailServer) -> None:
    mail_server.answers["MAIL"] = RELAY_DENIED
    deliver(enqueue())
    obsolete, other = enqueue(email="gone@example.com"), enqueue()
    mail_server.answers.clear()
    first, second = probe(), probe()
    assert first
    assert second
    assert (first.pk, first.state) == (obsolete.pk, State.CANCELLED)
    assert (second.pk, second.state) == (other.pk, State.SENT)


@pytest.fixture
def held(enqueue: Enqueue, ana: User, mail_server: MailServer) -> MailServer:
    mail_server.answers["RCPT"] = RELAY_DENIED
    deliver(enqueue())
    return mail_server


def test_operators_and_administrators_see_the_hold(
    held: MailServer, manages: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = "554 5.7.1 <…>: Relay access denied"
    call_command("mails", "list")
    assert answer in capsys.readouterr().err
    ready = Client().get("/health/ready/")
    assert (ready.status_code, ready.json()["outbox"]) == (200, "held")
    assert "Emails on hold" in manages.get("/admin/").content.decode()
    page = manages.get("/admin/notifications/outboxmail/").content.decode()
    assert "554 5.7.1 &lt;…&gt;: Relay access denied" in page
    assert "mails_held 1.0" in Client().get("/metrics").content.decode()


def test_a_retry_probes_at_once(held: MailServer) -> None:
    now = timezone.now()
    DeliveryHold.objects.update(next_probe_at=now + timedelta(hours=1), since=now - hold.FIRST_PAUSE)
    assert probe() is None
    held.answers.clear()
    call_command("mails", "retry", str(OutboxMail.objects.get().pk))
    assert probe()
    assert hold.current() is None
