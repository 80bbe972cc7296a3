"""Sends a message by the configured backend; over SMTP, several messages share a connection.

Each thread has its own connection. A watcher thread ends a conversation that lasts too long: the timeout of a socket
restarts with each byte, so a slow server could keep the sender beyond its lease. It also closes idle connections.
"""

import re
import select
import smtplib
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.core.mail.message import sanitize_address

from notifications.sending import mime, smtp_errors
from notifications.sending.smtp_errors import Scope

CONVERSATION_SECONDS = 30.0  # well within outbox.LEASE: the next sender must not meet this one
IDLE_SECONDS = 5.0
SERVICE_CLOSING = 421
# An address that is the same in the envelope. Parsing any other takes 300 µs.
_PLAIN_ADDRESS = re.compile(r"[\w+-]+(\.[\w+-]+)*@[a-zA-Z0-9-]{1,63}(\.[a-zA-Z0-9-]{1,63})*", re.ASCII)

_thread = threading.local()


class DeliveryError(Exception):
    """The mail server did not take the email, or it is unknown whether it did. `scope` says what the error is about."""

    def __init__(self, reason: str, scope: Scope = Scope.TEMPORARY) -> None:
        super().__init__(reason)
        self.scope = scope


def send(message: EmailMessage) -> None:
    """Sends the message; to an SMTP server, over this thread's connection. Raises DeliveryError."""
    try:
        configured = get_connection()
        if isinstance(configured, SMTPBackend):
            _send_over_connection(message)
        else:
            configured.send_messages([message])
    except (smtplib.SMTPException, OSError) as error:
        reply = smtp_errors.reply_of(error)
        raise DeliveryError(
            str(reply) if reply else f"{type(error).__name__}: {error}", smtp_errors.scope_of(error)
        ) from None


def backend() -> BaseEmailBackend:
    """Returns the configured backend; for SMTP, the one with this module's greeting and encoding."""
    configured = get_connection()
    return _Backend() if isinstance(configured, SMTPBackend) else configured


def disconnect() -> None:
    """Closes this thread's connection, if it has one."""
    connection: SmtpConnection | None = getattr(_thread, "connection", None)
    if connection:
        _thread.connection = None
        connection.close()


class _SMTP(smtplib.SMTP):
    """Gives its socket to the watcher before the server's greeting, and does not wait for the reply to QUIT."""

    def _get_socket(self, *arguments: Any) -> socket.socket:
        sock: socket.socket = super()._get_socket(*arguments)  # type: ignore[misc]
        if connection := getattr(_thread, "connection", None):
            connection.watch(sock)
        return sock

    def ehlo(self, name: str = "") -> tuple[int, bytes]:
        """Greets with EMAIL_EHLO_NAME; by default, with the name that smtplib finds for this machine."""
        return super().ehlo(name or settings.EMAIL_EHLO_NAME)

    def helo(self, name: str = "") -> tuple[int, bytes]:
        return super().helo(name or settings.EMAIL_EHLO_NAME)

    def quit(self) -> tuple[int, bytes]:
        self.putcmd("QUIT")
        self.close()
        return 221, b""


class _SMTPOverTLS(smtplib.SMTP_SSL, _SMTP):
    """Gives its socket to the watcher before the TLS handshake."""


class _Backend(SMTPBackend):
    @property
    def connection_class(self) -> type[_SMTP]:
        return _SMTPOverTLS if self.use_ssl else _SMTP

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Raises an error at the first message that the server does not take."""
        is_new = self.open()
        assert self.connection
        try:
            for message in email_messages:
                sender, *recipients = (_envelope_address(one) for one in (message.from_email, *message.recipients()))
                self.connection.sendmail(sender, recipients, mime.to_bytes(message))
        finally:
            if is_new:
                self.close()
        return len(email_messages)


def _envelope_address(address: str) -> str:
    return address if _PLAIN_ADDRESS.fullmatch(address) else _parsed_address(address)


@lru_cache(maxsize=64)  # EMAIL_FROM is one of them
def _parsed_address(address: str) -> str:
    return sanitize_address(address, "utf-8")


class SmtpConnection:
    """A connection to an SMTP server, and the watcher that closes it. A conversation ends at `until`."""

    def __init__(self, until: float) -> None:
        self._backend = _Backend()
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._is_talking = True
        self._until = until

    def begin(self, until: float) -> bool:
        """Begins the next conversation; returns False if this side or the server has closed the connection."""
        with self._lock:
            if self._is_closed.is_set() or self._has_unread_data():
                return False
            self._is_talking = True
            self._until = until
            return True

    def watch(self, sock: socket.socket) -> None:
        """Starts the watcher. It has its own handle, as TLS replaces the socket."""
        self._handle = sock.dup()
        threading.Thread(target=self._watch, daemon=True, name="mail-server-watcher").start()

    def send(self, message: EmailMessage) -> None:
        """Raises SMTPException or OSError. Closes the connection after any error but a rejection of this email."""
        is_alive = False
        try:
            self._backend.open()
            if time.monotonic() > self._until:
                raise TimeoutError("the mail server took too long to accept the connection")
            self._backend.send_messages([message])
            is_alive = True
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused):
            is_alive = self._socket() is not None
            raise
        finally:
            self._end(is_alive)

    def close(self) -> None:
        with self._lock:
            self._is_closed.set()
        with suppress(smtplib.SMTPException, OSError):
            self._backend.close()
        if self._handle:
            self._handle.close()

    def _end(self, is_alive: bool) -> None:
        with self._lock:
            self._is_talking = False
            self._until = time.monotonic() + IDLE_SECONDS
        if not is_alive:
            self.close()

    def _watch(self) -> None:
        while (left := self._close_if_due()) > 0:
            self._is_closed.wait(min(left, IDLE_SECONDS))

    def _close_if_due(self) -> float:
        """Closes the connection when its time is over; returns the seconds until the next look, 0 once it is closed."""
        with self._lock:
            left = self._until - time.monotonic()
            if self._is_closed.is_set() or left > 0:
                return 0 if self._is_closed.is_set() else left
            self._is_closed.set()
            is_talking = self._is_talking
        if not is_talking:
            self.close()
        elif self._handle:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)  # raises an error in the thread that waits for a reply
        return 0

    def _socket(self) -> socket.socket | None:
        return getattr(self._backend.connection, "sock", None)

    def _has_unread_data(self) -> bool:
        """An SMTP server sends only replies: unread data says that it ends the connection, or has closed it."""
        sock = self._socket()
        return sock is None or bool(select.select([sock], [], [], 0)[0])


def _send_over_connection(message: EmailMessage) -> None:
    """Sends over the thread's connection or a new one. Both together take no longer than one conversation."""
    connection: SmtpConnection | None = getattr(_thread, "connection", None)
    until = time.monotonic() + CONVERSATION_SECONDS
    if connection and connection.begin(until):
        try:
            connection.send(message)
            return
        except smtplib.SMTPSenderRefused as error:
            if error.smtp_code != SERVICE_CLOSING:  # the server limits the emails of a connection
                raise
    elif connection:
        connection.close()
    _thread.connection = SmtpConnection(until)
    _thread.connection.send(message)
