"""How a mail server is spoken to: in time, whatever it does, with our name, and in seven bits."""

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
from notifications import delivery, mail_server
from notifications.models import OutboxMail, State
from notifications.refusals import Scope
from tests.notifications.post import HANG, Post

Owe = Callable[..., OutboxMail]

MAIL = EmailMessage("Hi", "", to=["ana@example.com"])
TLS_RECORD = b"\x16\x03\x03\x40\x00"  # begins what a server says first when all is encrypted, 16 KiB of it


@contextmanager
def dripping(begin: bytes) -> Iterator[int]:
    """The port of a server that says so much and then a letter at a time, for two seconds."""

    def drip() -> None:
        talk, _address = server.accept()
        with suppress(OSError), talk:
            talk.sendall(begin)
            for _ in range(20):
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
    monkeypatch.setattr(mail_server, "CONVERSATION_SECONDS", 0.5)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_USE_SSL = begin == TLS_RECORD
    with dripping(begin) as settings.EMAIL_PORT:
        settings.EMAIL_HOST, began_at = "127.0.0.1", time.monotonic()
        with pytest.raises(mail_server.NotSent) as fault:
            mail_server.send(MAIL)
        assert fault.value.scope is Scope.LATER
        assert time.monotonic() - began_at < 1.5


def test_nobody_waits_for_a_servers_last_word(post: Post) -> None:
    post.answers["QUIT"] = HANG
    mail_server.send(MAIL)
    began_at = time.monotonic()
    mail_server.hang_up()
    assert time.monotonic() - began_at < 1
    assert len(post.mails) == 1


def test_a_second_connection_for_a_mail_gets_what_is_left_of_the_time(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail_server.send(MAIL)
    monkeypatch.setattr(mail_server, "CONVERSATION_SECONDS", 1.0)
    post.delay_seconds = 0.7
    post.answers["MAIL"] = "421 4.7.0 too many mails in this connection"
    began_at = time.monotonic()
    with pytest.raises(mail_server.NotSent):
        mail_server.send(MAIL)
    assert time.monotonic() - began_at < 1.3


def delivered(mail: OutboxMail) -> OutboxMail:
    delivery.deliver(mail.pk)
    return OutboxMail.objects.get(pk=mail.pk)


@pytest.mark.parametrize("name", ["id.example.com", "[192.0.2.1]"])
def test_the_server_is_greeted_with_the_name_of_the_settings(
    owe: Owe, ana: User, post: Post, settings: Settings, name: str
) -> None:
    settings.EMAIL_EHLO_NAME = name
    assert delivered(owe()).state == State.SENT
    call_command("mails", "test", "ana@example.com")
    assert post.greetings == {name}


def test_a_server_that_takes_seven_bits_alone_gets_them(owe: Owe, ana: User, post: Post, settings: Settings) -> None:
    settings.DEFAULT_FROM_EMAIL = "Señor Núñez <no-reply@example.com>"
    delivered(owe(language="es"))
    call_command("mails", "test", "ana@example.com")
    assert len(post.contents) == 2
    for content in post.contents:
        assert content.isascii()
        assert max(map(len, content.split(b"\r\n"))) <= 998
    [mail, _test] = post.mails
    assert "contraseña" in str(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert mail["From"].addresses[0].display_name == "Señor Núñez"
