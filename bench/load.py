"""Sends requests over several connections at once and takes exact times, in one thread and without an HTTP library.

Each connection has a conversation: a generator that yields a request and is sent the body of the response. So a client
can send the token that its last response contained. A request costs this client 50 µs. It costs wrk 30 µs, but wrk
can't tell its connections apart, and it corrects its percentiles for a rate of arrivals that no client here keeps.
"""

import json
import select
import socket
import time
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

from bench.service import Response

Conversation = Generator[bytes, bytes, None]
TIMEOUT_SECONDS = 60
RECEIVED_AT_ONCE = 1 << 18


class Load(NamedTuple):
    """All responses, when the time was over, and the average size of a response in bytes."""

    responses: list[Response]
    end: float
    size: float


class BrokenConnection(Exception):
    """The service closed a connection, or did not answer in time."""


def request(method: str, path: str, token: str = "", body: Any = None) -> bytes:
    """Returns the bytes of a request."""
    text = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [] if body is None else ["Content-Type: application/json", f"Content-Length: {len(text)}"]
    return "\r\n".join([*lines, "", ""]).encode() + text


def run(port: int, conversations: Iterable[Conversation], seconds: float) -> Load:
    """Runs each conversation over a connection of its own, then waits for the responses that are still to come.

    Raises BrokenConnection if the service breaks one.
    """
    connections = [_Connection(port, conversation) for conversation in conversations]
    try:
        return _run(connections, seconds)
    finally:
        for connection in connections:
            connection.close()


def _run(connections: list["_Connection"], seconds: float) -> Load:
    responses: list[Response] = []
    size = 0
    with select.epoll() as poller:
        for connection in connections:
            connection.send(poller)
        by_number = {connection.number: connection for connection in connections}
        end = time.monotonic() + seconds
        while by_number:
            ready = poller.poll(TIMEOUT_SECONDS)
            if not ready:
                raise BrokenConnection("no response in time")
            for number, _event in ready:
                response = by_number[number].receive()
                if response is None:
                    continue
                responses.append(response)
                connection = by_number.pop(number)
                size += connection.size
                if response.at < end:
                    connection.send(poller)
                    by_number[connection.number] = connection
                else:
                    connection.close()
    return Load(responses, end, size / len(responses))


class _Connection:
    """A connection with one request at a time."""

    def __init__(self, port: int, conversation: Conversation) -> None:
        self._address = ("127.0.0.1", port)
        self._socket: socket.socket | None = None
        self._conversation, self._next = conversation, next(conversation)
        self._received, self._sent_at, self.size = b"", 0.0, 0
        self.number = -1

    def send(self, poller: select.epoll) -> None:
        """Sends the next request. Connects if the service has closed the connection."""
        self._sent_at = time.perf_counter()
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.number = self._socket.fileno()
            poller.register(self.number, select.EPOLLIN)
        self._socket.sendall(self._next)

    def receive(self) -> Response | None:
        """Reads what has arrived. Returns the response once it is complete, and prepares the next request."""
        assert self._socket
        some = self._socket.recv(RECEIVED_AT_ONCE)
        if not some:
            raise BrokenConnection(self._received.decode() or "closed before a response")
        self._received += some
        head, separator, body = self._received.partition(b"\r\n\r\n")
        head = head.lower()
        if not separator or len(body) < _content_length(head):
            return None
        seconds = time.perf_counter() - self._sent_at
        self.size, self._received = len(self._received), b""
        self._next = self._conversation.send(body)
        if b"\r\nconnection: close" in head:
            self.close()
        return Response(int(head[9:12]), seconds, time.monotonic())

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None


def _content_length(head: bytes) -> int:
    _before, _name, value = head.partition(b"\r\ncontent-length:")
    return int(value.partition(b"\r\n")[0] or 0)
