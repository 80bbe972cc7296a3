"""Nobody waits for a mail server for longer than a conversation may last, whatever it does."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from django.core.mail import EmailMessage
from pytest_django import Settings

from notifications import mail_server
from notifications.refusals import Scope
from tests.notifications.post import HANG, Post

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
