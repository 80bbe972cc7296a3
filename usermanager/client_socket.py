"""The socket of a client, whose request is read without a thread, and who must take the answer in time."""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from usermanager.request_framing import Framing

HEADER_SECONDS = 5.0  # from its first byte, or from the opening of the connection
BODY_SECONDS = 10.0  # from the end of the header
SEND_SECONDS = 20.0  # for a client to take a piece of its answer
READ_BYTES = 64 * 1024


class ImpatientSocket(socket.socket):
    """One whose request is read without a thread; a thread gets what has arrived, and never waits for more."""

    on_close: Callable[[], None] | None = None  # called once

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.begin(b"")

    def close(self) -> None:
        super().close()
        tell, self.on_close = self.on_close, None
        if tell:
            tell()

    def begin(self, received: bytes) -> None:
        """Another request, of which these bytes have arrived already. Its time begins with its first byte."""
        self.received = bytearray(received)
        self.framing = Framing(self.received)
        self.deadline = time.monotonic() + HEADER_SECONDS
        self.is_late = False

    def take_in(self) -> bool:
        """Reads what has arrived. False at the end of the stream; raises OSError when the connection is broken."""
        had_header = self.framing.body_at is not None
        if not self.received:
            self.deadline = time.monotonic() + HEADER_SECONDS
        is_open = True
        with suppress(BlockingIOError):
            while is_open and not self.framing.is_whole():
                arrived = super().recv(READ_BYTES)
                self.received += arrived
                is_open = bool(arrived)
        if not had_header and self.framing.body_at is not None:
            self.deadline = time.monotonic() + BODY_SECONDS
        return is_open

    def recv(self, size: int, *arguments: Any) -> bytes:
        """What the thread reads. The end of a request that lacks something ends the connection, too."""
        self.is_late = self.is_late or not self.received
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    def sendall(self, *arguments: Any) -> None:
        with self._patience():
            super().sendall(*arguments)

    def sendfile(self, *arguments: Any, **options: Any) -> int:
        with self._patience():
            return super().sendfile(*arguments, **options)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """A client that does not read its answer must not keep the thread."""
        self.settimeout(SEND_SECONDS)
        try:
            yield
        except TimeoutError as fault:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read") from fault
