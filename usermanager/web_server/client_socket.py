"""The socket of a client: reads its request without a thread, and limits the time to send the response."""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from usermanager.web_server.request_framing import Framing

HEADER_SECONDS = 5.0  # from its first byte, or from the opening of the connection
BODY_SECONDS = 10.0  # from the end of the header
SEND_SECONDS = 20.0  # for a client to receive one piece of its response
READ_BYTES = 64 * 1024


class ClientSocket(socket.socket):
    """Collects a request in the main thread. A thread then reads the collected bytes and never waits for more.

    The socket is always non-blocking. gunicorn switches that eight times a request, each time with a system call that
    lets another thread run, so setblocking() and settimeout() do nothing here.
    """

    on_close: Callable[[], None] | None = None  # called once, in the main thread

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        super().setblocking(False)
        self._is_answering = self._is_header_next = False
        self._header = b""
        self.begin_request(b"")

    def setblocking(self, _flag: bool) -> None:
        pass

    def settimeout(self, _seconds: float | None) -> None:
        pass

    def close(self) -> None:
        """Closes the socket, or only ends the connection if a thread answers its request.

        The selector watches the socket, so a new connection must not get its number yet.
        """
        if self._is_answering:
            with suppress(OSError):
                self.shutdown(socket.SHUT_RDWR)
            return
        super().close()
        on_close, self.on_close = self.on_close, None
        if on_close:
            on_close()

    def begin_request(self, received: bytes) -> None:
        """Starts another request with the bytes that have arrived. Its time limit starts with its first byte."""
        self.received = bytearray(received)
        self.sent = b""  # what was sent last
        self.framing = Framing(self.received)
        self.deadline = time.monotonic() + HEADER_SECONDS
        self.is_cut_short = False

    def receive_available(self) -> bool:
        """Reads the bytes that have arrived. Returns False at the end of the stream.

        Raises OSError if the connection is broken.
        """
        had_header = self.framing.body_at is not None
        if not self.received:
            self.deadline = time.monotonic() + HEADER_SECONDS
        is_open = True
        with suppress(BlockingIOError):
            while is_open and not self.framing.is_complete():
                arrived = super().recv(READ_BYTES)
                self.received += arrived
                is_open = bool(arrived)
        if not had_header and self.framing.body_at is not None:
            self.deadline = time.monotonic() + BODY_SECONDS
        return is_open

    def recv(self, size: int, *arguments: Any) -> bytes:
        """Gives the thread bytes that have arrived. If the request lacks bytes, marks it and returns none."""
        self.is_cut_short = self.is_cut_short or not self.received
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    def begin_response(self) -> None:
        """Makes the next sendall(), of the header, wait for the one after it. Most responses then are one packet."""
        self._is_answering = self._is_header_next = True

    def end_response(self) -> None:
        """Sends the header of a response without a body."""
        self._is_answering = self._is_header_next = False
        if self._header:
            self.sendall(b"")

    def sendall(self, data: Any, *flags: int) -> None:
        if self._is_header_next:
            self._is_header_next, self._header = False, data
            return
        data, self._header = self._header + data, b""
        self.sent = data
        try:
            sent = self.send(data, *flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            with self._send_timeout():
                super().sendall(memoryview(data)[sent:], *flags)

    def sendfile(self, *arguments: Any, **options: Any) -> int:
        self.sendall(b"")
        with self._send_timeout():
            return super().sendfile(*arguments, **options)

    @contextmanager
    def _send_timeout(self) -> Iterator[None]:
        """Breaks the connection of a client that does not read its response. It would occupy the thread."""
        super().settimeout(SEND_SECONDS)
        try:
            yield
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read") from error
        finally:
            super().setblocking(False)
