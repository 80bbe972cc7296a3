"""SMTP conversations: their time limit, the EHLO name, seven-bit encoding, and shared connections."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from django.core.mail import EmailMessage
from django.core.management import call_command
from pytest_django import Settings

from accounts.models import User
from notifications.models import OutboxMail, State
from notifications.sending import delivery, smtp
from notifications.sending.smtp_errors import Scope
from tests.notifications.mail_server import CLOSE, HANG, MailServer
from tests.usermanager.processes import eventually

Enqueue = Callable[..., OutboxMail]

MAIL = EmailMessage("Hi", "", to=["ana@example.com"])
TLS_RECORD = b"\x16\x03\x03\x40\x00"  # begins what a server says first when all is encrypted, 16 KiB of it


@contextmanager
def dripping(begin: bytes) -> Iterator[int]:
    """Serves these bytes and then single letters, until the client leaves, at most for 30 seconds; yields the port."""

    def drip() -> None:
        talk, _address = server.accept()
        with suppress(OSError), talk:
            talk.sendall(begin)
            for _ in range(300):
                time.sleep(0.1)
                talk.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("begin", [b"", b"220-", b"220 hello\r\n250-", TLS_RECORD])
def test_a_server_that_speaks_a_letter_at_a_time_is_given_up_in_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(smtp, "CONVERSATION_SECONDS", 0.5)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_USE_SSL = begin == TLS_RECORD
    with dripping(begin) as settings.EMAIL_PORT:
        settings.EMAIL_HOST, began_at = "127.0.0.1", time.monotonic()
        with pytest.raises(smtp.DeliveryError) as raised:
            smtp.send(MAIL)
        assert raised.value.scope is Scope.TEMPORARY
        assert time.monotonic() - began_at < 15


def test_closing_does_not_wait_for_the_reply_to_quit(mail_server: MailServer) -> None:
    mail_server.answers["QUIT"] = HANG
    smtp.send(MAIL)
    began_at = time.monotonic()
    smtp.disconnect()
    assert time.monotonic() - began_at < 5  # half of EMAIL_TIMEOUT
    assert len(mail_server.mails) == 1


def test_a_second_connection_for_an_email_gets_the_remaining_time(
    mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp.send(MAIL)
    monkeypatch.setattr(smtp, "CONVERSATION_SECONDS", 1.0)
    mail_server.delay_seconds = 0.7
    mail_server.answers["MAIL"] = "421 4.7.0 too many mails in this connection"
    with pytest.raises(smtp.DeliveryError) as raised:
        smtp.send(MAIL)
    assert "421" not in str(raised.value)  # the time is over before the second connection gets the same answer


def delivered(mail: OutboxMail) -> OutboxMail:
    delivery.deliver(mail.pk)
    return OutboxMail.objects.get(pk=mail.pk)


@pytest.mark.parametrize("name", ["id.example.com", "[192.0.2.1]"])
def test_the_server_is_greeted_with_the_name_of_the_settings(
    enqueue: Enqueue, ana: User, mail_server: MailServer, settings: Settings, name: str
) -> None:
    settings.EMAIL_EHLO_NAME = name
    assert delivered(enqueue()).state == State.SENT
    call_command("mails", "test", "ana@example.com")
    assert mail_server.greetings == {name}


def test_a_server_without_8bitmime_gets_seven_bits(
    enqueue: Enqueue, ana: User, mail_server: MailServer, settings: Settings
) -> None:
    settings.DEFAULT_FROM_EMAIL = "Señor Núñez <no-reply@example.com>"
    delivered(enqueue(language="es"))
    call_command("mails", "test", "ana@example.com")
    assert len(mail_server.contents) == 2
    for content in mail_server.contents:
        assert content.isascii()
        assert max(map(len, content.split(b"\r\n"))) <= 998
    [mail, _test] = mail_server.mails
    assert "contraseña" in str(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert mail["From"].addresses[0].display_name == "Señor Núñez"


def test_several_emails_share_a_connection_even_after_rejections(
    enqueue: Enqueue, ana: User, mail_server: MailServer
) -> None:
    delivered(enqueue())
    mail_server.answers["RCPT"] = "550 no"
    delivered(enqueue())
    mail_server.answers.clear()
    delivered(enqueue())
    assert len(mail_server.mails) == 2
    assert mail_server.conversations == 1


def test_a_connection_that_the_server_closed_is_replaced_at_once(
    enqueue: Enqueue, ana: User, mail_server: MailServer
) -> None:
    delivered(enqueue())
    mail_server.answers["DATA"] = CLOSE
    delivered(enqueue())
    mail_server.answers.clear()
    assert delivered(enqueue()).state == State.SENT
    assert mail_server.conversations == 2


def test_a_server_that_limits_emails_per_connection_gets_another_one(
    enqueue: Enqueue, ana: User, mail_server: MailServer
) -> None:
    delivered(enqueue())

    async def enough_once(server: object, session: object, envelope: object, address: str, options: object) -> str:
        del mail_server.handle_MAIL  # the method of the class answers from now on
        return "421 too many mails in this connection"

    mail_server.handle_MAIL = enough_once  # type: ignore[method-assign]
    settled = delivered(enqueue())
    assert (settled.state, settled.attempts) == (State.SENT, 1)


def test_an_idle_connection_is_closed(
    enqueue: Enqueue, ana: User, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "IDLE_SECONDS", 0.1)
    delivered(enqueue())
    eventually(lambda: "mail-server-watcher" not in {thread.name for thread in threading.enumerate()})
    assert delivered(enqueue()).state == State.SENT
    assert mail_server.conversations == 2
