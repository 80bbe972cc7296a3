"""Sends a message by the configured backend; a connection to an SMTP server is kept for a run of mails.

Each thread has its own connection. A watcher ends a conversation that lasts too long, whatever the server does, and
hangs up when no mail came for a while.
"""

import select
import smtplib
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.core.mail.message import utf8_charset_qp

from notifications import refusals
from notifications.refusals import Scope

CONVERSATION_SECONDS = 30.0  # well within outbox.LEASE: whoever takes a mail over must not meet its former sender
IDLE_SECONDS = 5.0
CLOSING = 421

_thread = threading.local()


class NotSent(Exception):
    """The email was not taken, or nobody knows whether it was. `scope`: what follows from that."""

    def __init__(self, reason: str, scope: Scope = Scope.LATER) -> None:
        super().__init__(reason)
        self.scope = scope


def send(message: EmailMessage) -> None:
    """Hands the message over; to an SMTP server, over this thread's connection. Raises NotSent."""
    try:
        configured = get_connection()
        if isinstance(configured, SMTPBackend):
            _send_over_line(message)
        else:
            configured.send_messages([message])
    except (smtplib.SMTPException, OSError) as fault:
        said = refusals.answer(fault)
        raise NotSent(str(said) if said else f"{type(fault).__name__}: {fault}", refusals.scope(fault)) from None


def backend() -> BaseEmailBackend:
    """The configured backend; for SMTP, one that greets and encodes as ours do."""
    configured = get_connection()
    return _Backend() if isinstance(configured, SMTPBackend) else configured


def hang_up() -> None:
    """Closes this thread's connection, if it has one."""
    line: Line | None = getattr(_thread, "line", None)
    if line:
        _thread.line = None
        line.hang_up()


class _SMTP(smtplib.SMTP):
    """Its socket is known before the server says its first word, and nobody waits for the last one."""

    def _get_socket(self, *arguments: Any) -> socket.socket:
        sock: socket.socket = super()._get_socket(*arguments)  # type: ignore[misc]
        if line := getattr(_thread, "line", None):
            line.watch(sock)
        return sock

    def ehlo(self, name: str = "") -> tuple[int, bytes]:
        """Greets with EMAIL_EHLO_NAME, or the name that smtplib finds for this machine."""
        return super().ehlo(name or settings.EMAIL_EHLO_NAME)

    def helo(self, name: str = "") -> tuple[int, bytes]:
        return super().helo(name or settings.EMAIL_EHLO_NAME)

    def quit(self) -> tuple[int, bytes]:
        self.putcmd("QUIT")
        self.close()
        return 221, b""


class _SMTPOverTLS(smtplib.SMTP_SSL, _SMTP):
    """The socket is known before it is encrypted, too."""


class _Backend(SMTPBackend):
    @property
    def connection_class(self) -> type[_SMTP]:
        return _SMTPOverTLS if self.use_ssl else _SMTP

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Encodes texts as quoted-printable: not every server takes 8-bit content, and none lines over 998 bytes."""
        for message in email_messages:
            message.encoding = utf8_charset_qp
        return super().send_messages(email_messages)


class Line:
    """A connection to an SMTP server, and the watcher that sees to its end. A conversation ends at `until`."""

    def __init__(self, until: float) -> None:
        self._backend = _Backend()
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()
        self._is_dead = threading.Event()
        self._is_talking = True
        self._until = until

    def begin(self, until: float) -> bool:
        """Whether a next conversation may begin: neither we nor the server have hung up."""
        with self._lock:
            if self._is_dead.is_set() or self._has_something_to_say():
                return False
            self._is_talking = True
            self._until = until
            return True

    def watch(self, sock: socket.socket) -> None:
        """Begins with a handle of our own, as encryption takes the socket and gives another one for it."""
        self._handle = sock.dup()
        threading.Thread(target=self._watch, daemon=True, name="mail-server-watcher").start()

    def send(self, message: EmailMessage) -> None:
        """Raises SMTPException or OSError. After anything but a refusal of this one mail the line is dead."""
        is_alive = False
        try:
            self._backend.open()
            if time.monotonic() > self._until:
                raise TimeoutError("the mail server took too long to let us in")
            self._backend.send_messages([message])
            is_alive = True
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused):
            is_alive = self._socket() is not None
            raise
        finally:
            self._end(is_alive)

    def hang_up(self) -> None:
        with self._lock:
            self._is_dead.set()
        with suppress(smtplib.SMTPException, OSError):
            self._backend.close()
        if self._handle:
            self._handle.close()

    def _end(self, is_alive: bool) -> None:
        with self._lock:
            self._is_talking = False
            self._until = time.monotonic() + IDLE_SECONDS
        if not is_alive:
            self.hang_up()

    def _watch(self) -> None:
        while (left := self._left()) > 0:
            self._is_dead.wait(min(left, IDLE_SECONDS))

    def _left(self) -> float:
        """Seconds until the watcher has to look again; none when the line is dead, or has just been ended."""
        with self._lock:
            left = self._until - time.monotonic()
            if self._is_dead.is_set() or left > 0:
                return 0 if self._is_dead.is_set() else left
            self._is_dead.set()
            is_talking = self._is_talking
        if not is_talking:
            self.hang_up()
        elif self._handle:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)  # whoever waits for an answer gets an error now
        return 0

    def _socket(self) -> socket.socket | None:
        return getattr(self._backend.connection, "sock", None)

    def _has_something_to_say(self) -> bool:
        """An SMTP server speaks only when asked; if there is something to read, it says goodbye or has gone."""
        sock = self._socket()
        return sock is None or bool(select.select([sock], [], [], 0)[0])


def _send_over_line(message: EmailMessage) -> None:
    """In one go, even if the server lets a second connection do what the first one may not."""
    line: Line | None = getattr(_thread, "line", None)
    until = time.monotonic() + CONVERSATION_SECONDS
    if line and line.begin(until):
        try:
            line.send(message)
            return
        except smtplib.SMTPSenderRefused as fault:
            if fault.smtp_code != CLOSING:  # so many mails a connection and no more: a new one will do
                raise
    elif line:
        line.hang_up()
    _thread.line = Line(until)
    _thread.line.send(message)
