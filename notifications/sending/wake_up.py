"""A Unix socket in DATA_DIR by which the processes of this machine wake the relay, so that emails go out at once.

Without a notification, the relay looks for pending emails each second.
"""

import logging
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings

ID_BYTES = 16
MAX_MESSAGES = 1000

log = logging.getLogger(__name__)


def notify_relay(mail_id: UUID | None = None) -> None:
    """Wakes the relay, for one email or for all that are due. Never waits, and never raises."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with suppress(OSError):
            sender.sendto(mail_id.bytes if mail_id else b"", str(path()))


def path() -> Path:
    return Path(settings.DATA_DIR) / "relay.sock"


class WakeUpSocket:
    """The relay's end. Of several relays on one machine the first is notified; when it ends, another."""

    def __init__(self) -> None:
        self._path = path()
        self._inner, self._interrupter = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inner.setblocking(False)
        self._interrupter.setblocking(False)
        self._outer: socket.socket | None = None
        self._inode = 0
        self._bind()

    def wait(self, seconds: float) -> list[UUID]:
        """Waits for a notification, an interrupt or the timeout; returns the emails that were notified."""
        ends = [self._inner, self._outer] if self._outer else [self._inner]
        ready, _, _ = select.select(ends, [], [], seconds)
        if not ready:
            self._bind()
        messages = [message for end in ready for message in _messages(end)]
        return [UUID(bytes=message) for message in messages if len(message) == ID_BYTES]

    def interrupt(self) -> None:
        """Ends wait(). May be called from any thread and from a signal handler."""
        with suppress(OSError):
            self._interrupter.send(b"")

    def close(self) -> None:
        if self._is_ours():
            self._path.unlink(missing_ok=True)
        for end in (self._inner, self._interrupter, self._outer):
            if end:
                end.close()

    def _bind(self) -> None:
        """Binds the socket unless another relay listens there. Replaces the dead socket of a killed relay."""
        if self._is_ours() or _is_listening(self._path):
            return
        outer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            outer.setblocking(False)
            self._path.unlink(missing_ok=True)
            outer.bind(str(self._path))
            self._path.chmod(0o600)
            self._outer, self._inode = outer, self._path.stat().st_ino
        except OSError as error:
            outer.close()
            log.warning("the relay cannot be woken at %s (%s) and looks each second", self._path, error)

    def _is_ours(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _messages(end: socket.socket) -> Iterator[bytes]:
    """Reads the waiting messages, at most MAX_MESSAGES."""
    for _ in range(MAX_MESSAGES):
        try:
            yield end.recv(ID_BYTES)
        except BlockingIOError:
            return
