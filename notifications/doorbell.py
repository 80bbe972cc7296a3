"""A Unix socket in DATA_DIR by which the processes of this machine wake the relay, so that no mail waits for its round.

Nothing depends on it: a relay that nobody wakes looks by itself each second.
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
AT_ONCE = 1000

log = logging.getLogger(__name__)


def ring(mail_id: UUID | None = None) -> None:
    """Wakes the relay, for a certain mail or for whatever is due. Never waits, and never fails."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.setblocking(False)
        with suppress(OSError):
            bell.sendto(mail_id.bytes if mail_id else b"", str(path()))


def path() -> Path:
    return Path(settings.DATA_DIR) / "relay.sock"


class Doorbell:
    """The relay's end. With several relays on one machine the first one is rung; when it ends, another takes over."""

    def __init__(self) -> None:
        self._path = path()
        self._inner, self._nudger = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inner.setblocking(False)
        self._nudger.setblocking(False)
        self._outer: socket.socket | None = None
        self._inode = 0
        self._answer()

    def wait(self, seconds: float) -> list[UUID]:
        """The mails for which somebody rang: at once when rung or nudged, after the time at the latest."""
        ends = [self._inner, self._outer] if self._outer else [self._inner]
        ready, _, _ = select.select(ends, [], [], seconds)
        if not ready:
            self._answer()
        messages = [message for end in ready for message in _messages(end)]
        return [UUID(bytes=message) for message in messages if len(message) == ID_BYTES]

    def nudge(self) -> None:
        """Ends wait(), from any thread and from the handler of a signal."""
        with suppress(OSError):
            self._nudger.send(b"")

    def close(self) -> None:
        if self._is_ours():
            self._path.unlink(missing_ok=True)
        for end in (self._inner, self._nudger, self._outer):
            if end:
                end.close()

    def _answer(self) -> None:
        """Puts a socket where people ring, unless somebody answers there; one that was killed left a dead one."""
        if self._is_ours() or _is_answered(self._path):
            return
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bell.setblocking(False)
            self._path.unlink(missing_ok=True)
            bell.bind(str(self._path))
            self._path.chmod(0o600)
            self._outer, self._inode = bell, self._path.stat().st_ino
        except OSError as fault:
            bell.close()
            log.warning("the relay cannot be woken at %s (%s) and looks each second", self._path, fault)

    def _is_ours(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _messages(end: socket.socket) -> Iterator[bytes]:
    """What waits there, and no more than so much at once."""
    for _ in range(AT_ONCE):
        try:
            yield end.recv(ID_BYTES)
        except BlockingIOError:
            return
