"""Delivery of one email to a real mail server, for each of its replies."""

import logging
import re
import time
from collections.abc import Callable
from datetime import timedelta
from traceback import format_exception

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from notifications import outbox
from notifications.content import composing
from notifications.models import MAX_ATTEMPTS, OutboxMail, State
from notifications.sending import delivery, smtp
from tests.notifications.mail_server import CLOSE, HANG, MailServer, text_of

Enqueue = Callable[..., OutboxMail]


def deliver(mail: OutboxMail) -> OutboxMail:
    """Attempts the email now, even if it is not due; returns the row afterwards."""
    OutboxMail.objects.filter(pk=mail.pk, state=State.PENDING).update(next_attempt_at=timezone.now())
    delivery.deliver(mail.pk)
    return OutboxMail.objects.get(pk=mail.pk)


def test_an_email_arrives_with_text_html_and_the_id_of_its_row(
    enqueue: Enqueue, ana: User, mail_server: MailServer
) -> None:
    settled = deliver(enqueue("password_reset"))
    assert (settled.state, settled.attempts, settled.last_error) == (State.SENT, 1, "")
    assert settled.sent_at is not None
    mail = mail_server.one()
    assert mail["To"] == "ana@example.com"
    assert mail["From"] == "UserManager <no-reply@localhost>"
    assert mail["Subject"] == "Reset your UserManager password"
    assert mail["Message-ID"] == f"<{settled.pk}@localhost>"
    assert mail["X-Entity-Ref-ID"] == str(settled.pk)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Mail-Kind"] == "password_reset"
    assert mail["Date"]
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    link = re.search(r"\?token=[\w-]{43}\s", text_of(mail))
    assert link
    html = mail.get_body(("html",))
    assert html
    assert link[0].strip() in html.get_content()


def test_the_domain_is_sent_in_its_ascii_form_and_the_rest_as_written(
    person: Callable[..., User], enqueue: Enqueue, mail_server: MailServer
) -> None:
    person("Ana", email="Ana.B@BÜCHER.example")
    deliver(enqueue("password_reset", email="Ana.B@BÜCHER.example"))
    assert mail_server.one()["To"] == "Ana.B@xn--bcher-kva.example"


@pytest.mark.parametrize("kind", ["password_reset", "verify_email", "already_registered"])
def test_the_request_decides_neither_the_spelling_nor_the_mailbox(
    person: Callable[..., User], enqueue: Enqueue, mail_server: MailServer, kind: str
) -> None:
    person("ana", email="Ana.B@bücher.example", email_verified=kind != "verify_email")
    deliver(enqueue(kind, email="aNA.b@BÜCHER.example"))
    mail = mail_server.one()
    assert mail["To"] == "Ana.B@xn--bcher-kva.example"
    assert "aNA.b@" not in mail.as_string()


def test_another_spelling_of_the_same_address_is_confirmed_in_that_spelling(
    ana: User, enqueue: Enqueue, mail_server: MailServer
) -> None:
    deliver(enqueue("email_change", user=ana, email="Ana@example.com"))
    assert mail_server.one()["To"] == "Ana@example.com"


def test_an_obsolete_email_is_cancelled(enqueue: Enqueue, mail_server: MailServer) -> None:
    settled = deliver(enqueue("password_reset"))
    assert (settled.state, settled.last_error) == (State.CANCELLED, "No user has this address.")
    assert mail_server.mails == []


def test_emails_that_are_deleted_sent_or_not_due_are_left_alone(
    enqueue: Enqueue, ana: User, mail_server: MailServer
) -> None:
    sent, gone, later = enqueue(), enqueue(), enqueue()
    delivery.deliver(sent.pk)
    delivery.deliver(sent.pk)
    gone.delete()
    delivery.deliver(gone.pk)
    OutboxMail.objects.filter(pk=later.pk).update(next_attempt_at=timezone.now() + timedelta(minutes=1))
    delivery.deliver(later.pk)
    assert list(mail_server.ids()) == [str(sent.pk)]


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
def test_a_permanent_error_fails_the_email_at_once(
    enqueue: Enqueue, ana: User, mail_server: MailServer, stage: str
) -> None:
    mail_server.answers[stage] = "550 5.1.1 no such user"
    settled = deliver(enqueue())
    assert (settled.state, settled.attempts, settled.last_error) == (State.FAILED, 1, "550 5.1.1 no such user")


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_a_greylisted_email_is_retried_with_the_same_message_id(
    enqueue: Enqueue, ana: User, mail_server: MailServer, stage: str
) -> None:
    mail_server.answers[stage] = "451 4.7.1 greylisted"
    settled = deliver(enqueue("password_reset"))
    assert (settled.state, settled.attempts, settled.last_error) == (State.PENDING, 1, "451 4.7.1 greylisted")
    assert settled.next_attempt_at > timezone.now() + timedelta(seconds=30)
    mail_server.answers.clear()
    again = deliver(settled)
    assert (again.state, again.attempts) == (State.SENT, 2)
    assert mail_server.one()["Message-ID"] == f"<{settled.pk}@localhost>"


def test_a_server_that_requires_a_login_does_not_fail_the_email(
    enqueue: Enqueue, ana: User, mail_server: MailServer
) -> None:
    mail_server.answers["MAIL"] = "530 5.7.0 Authentication required"
    assert deliver(enqueue()).state == State.PENDING


def test_a_server_that_is_down_is_retried(enqueue: Enqueue, ana: User, mail_server: MailServer) -> None:
    mail_server.close()
    settled = deliver(enqueue())
    assert settled.state == State.PENDING
    assert "refused" in settled.last_error


def test_a_server_with_an_unknown_name_is_retried(
    enqueue: Enqueue, ana: User, mail_server: MailServer, settings: Settings
) -> None:
    settings.EMAIL_HOST = "mail.invalid"
    assert deliver(enqueue()).state == State.PENDING


def test_an_email_is_retried_after_a_disconnect_behind_data(
    enqueue: Enqueue, ana: User, mail_server: MailServer
) -> None:
    """The sender can't know whether the email arrived. Both copies have the same Message-ID."""
    mail_server.answers["DATA"] = CLOSE
    settled = deliver(enqueue())
    assert (settled.state, settled.attempts) == (State.PENDING, 1)
    mail_server.answers.clear()
    assert deliver(settled).state == State.SENT
    assert len({mail["Message-ID"] for mail in mail_server.mails}) == 1


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_says_nothing_is_given_up_in_time(
    enqueue: Enqueue, ana: User, mail_server: MailServer, settings: Settings, stage: str
) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    mail_server.answers[stage] = HANG
    begin = time.monotonic()
    settled = deliver(enqueue())
    assert settled.state == State.PENDING
    assert "timed out" in settled.last_error
    assert time.monotonic() - begin < 15  # half of CONVERSATION_SECONDS


def test_a_conversation_ends_in_time_even_if_each_answer_does_come(
    enqueue: Enqueue, ana: User, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "CONVERSATION_SECONDS", 0.3)
    mail_server.answers["RCPT"] = HANG
    begin = time.monotonic()
    assert deliver(enqueue()).state == State.PENDING
    assert time.monotonic() - begin < 5  # half of EMAIL_TIMEOUT


def test_the_last_attempt_fails_the_email(enqueue: Enqueue, ana: User, mail_server: MailServer) -> None:
    mail_server.answers["RCPT"] = "451 later"
    mail = enqueue()
    OutboxMail.objects.filter(pk=mail.pk).update(attempts=MAX_ATTEMPTS - 1)
    assert deliver(mail).state == State.FAILED


def test_a_quoted_email_is_stored_without_the_secret(
    enqueue: Enqueue, ana: User, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    mail_server.answers["DATA"] = "550 blocked for: {mail}"
    with caplog.at_level(logging.DEBUG, logger="notifications"):
        settled = deliver(enqueue("password_reset"))
    assert settled.state == State.FAILED
    assert "token=…" in settled.last_error
    assert not re.search(r"token=[\w-]", settled.last_error + caplog.text)


def test_a_quoted_raw_email_is_stored_without_the_secret(enqueue: Enqueue, ana: User, mail_server: MailServer) -> None:
    mail_server.answers["DATA"] = "550 blocked for: {raw}"
    settled = deliver(enqueue("password_reset"))
    (_head, token), *_ = re.findall(r"\?(token=)([\w-]{43})", text_of(mail_server.taken))
    assert "token=…" in settled.last_error
    assert not any(token[place : place + 8] in settled.last_error for place in range(len(token) - 8))


def test_an_unexpected_error_reschedules_the_email_and_is_raised(
    enqueue: Enqueue, ana: User, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(mail: OutboxMail) -> composing.Content:
        raise ZeroDivisionError("token=secret")

    monkeypatch.setattr(delivery, "compose_with_token", stumble)
    mail = enqueue()
    with pytest.raises(delivery.UnexpectedError, match=r"^ZeroDivisionError$") as raised:
        delivery.deliver(mail.pk)
    assert "token=" not in "".join(format_exception(raised.value))
    settled = OutboxMail.objects.get(pk=mail.pk)
    assert (settled.state, settled.attempts, settled.last_error) == (State.PENDING, 1, "ZeroDivisionError")


def test_an_email_with_too_little_lease_left_is_rescheduled(
    enqueue: Enqueue, ana: User, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another sender could claim it at any moment, and both would send it."""
    monkeypatch.setattr(outbox, "LEASE", timedelta(seconds=smtp.CONVERSATION_SECONDS + 19))
    settled = deliver(enqueue())
    assert (settled.state, settled.last_error) == (State.PENDING, "Timed out waiting for the database.")
    assert mail_server.mails == []


def test_a_sent_email_is_marked_as_soon_as_the_database_is_back(
    enqueue: Enqueue, ana: User, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_SECONDS", 0.01)
    settle, errors = outbox.mark_sent, [OperationalError("locked"), OperationalError("locked")]

    def settle_at_last(mail: OutboxMail) -> None:
        if errors:
            raise errors.pop()
        settle(mail)

    monkeypatch.setattr(outbox, "mark_sent", settle_at_last)
    assert deliver(enqueue()).state == State.SENT
    assert len(mail_server.mails) == 1


def test_marking_a_sent_email_ends_with_the_lease(
    enqueue: Enqueue, ana: User, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_SECONDS", 0.01)
    ends_at = timezone.now() + timedelta(seconds=0.1)

    def fail(mail: OutboxMail) -> None:
        mail.lease_until = ends_at
        raise OperationalError("locked")

    monkeypatch.setattr(outbox, "mark_sent", fail)
    assert deliver(enqueue()).state == State.SENDING  # the next sender treats its owner as dead
    assert timezone.now() > ends_at


def test_an_email_is_sent_outside_of_transactions(
    enqueue: Enqueue, ana: User, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts transactions beyond the test's own, which is always open."""
    depth = len(connection.savepoint_ids)

    def look(message: object) -> None:
        assert len(connection.savepoint_ids) == depth

    monkeypatch.setattr(smtp, "send", look)
    assert deliver(enqueue("password_reset")).state == State.SENT
