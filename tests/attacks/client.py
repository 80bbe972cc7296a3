"""Speaks HTTP over bare sockets: requests can be malformed, and many can be completed at the same instant.

Whatever a test is about, every answer that comes by is held to what holds for all of them: no 5xx but 503, no
internals, the headers, and a problem document for each refusal.
"""

import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPResponse
from typing import Any, NamedTuple

TIMEOUT_SECONDS = 30.0
UNTIL_A_THREAD_WAITS_SECONDS = 0.015
INTERNALS = ("Traceback", "django", "gunicorn", "psycopg", "sqlite", "SELECT ", "INSERT ", "accounts.", '.py"')
PROBLEM = {"type", "title", "status", "detail", "code", "instance"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    @property
    def code(self) -> str:
        """The code of a refusal, or nothing."""
        return str(self.json().get("code", "")) if self.status >= 400 else ""

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Call:
    """A request that can be sent; `body` goes as JSON unless it is bytes."""

    method: str
    path: str
    access: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self, host: str) -> bytes:
        content = self.body if isinstance(self.body, bytes) else b"" if self.body is None else _json(self.body)
        headers = {"Host": host, "Connection": "close"}
        if self.access:
            headers["Authorization"] = f"Bearer {self.access}"
        if self.body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{name}: {value}" for name, value in (headers | dict(self.headers)).items()]
        head = "\r\n".join([f"{self.method} {self.path} HTTP/1.1", *lines, "", ""])
        return head.encode("utf-8", "surrogateescape") + content


class Address(NamedTuple):
    host: str
    port: int


def at_once(address: Address, calls: Iterable[Call]) -> list[Answer]:
    """Completes all requests within microseconds of each other.

    Each is sent but for its last byte, which leaves a thread of the server waiting in the middle of it; the last
    bytes follow in one go.
    """
    raws = [call.raw(f"localhost:{address.port}") for call in calls]
    connections = [socket.create_connection(address, TIMEOUT_SECONDS) for _raw in raws]
    try:
        for connection, raw in zip(connections, raws, strict=True):
            connection.sendall(raw[:-1])
        time.sleep(UNTIL_A_THREAD_WAITS_SECONDS if len(raws) > 1 else 0)
        for connection, raw in zip(connections, raws, strict=True):
            connection.sendall(raw[-1:])
        return [held(read(connection, raw)) for connection, raw in zip(connections, raws, strict=True)]
    finally:
        for connection in connections:
            connection.close()


@contextmanager
def held_open(address: Address, call: Call) -> Iterator[Callable[[], Answer]]:
    """A request that lacks its last byte until the function is called, which returns the answer."""
    raw = call.raw(f"localhost:{address.port}")
    with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
        connection.sendall(raw[:-1])
        time.sleep(UNTIL_A_THREAD_WAITS_SECONDS)

        def finish() -> Answer:
            connection.sendall(raw[-1:])
            return held(read(connection, raw))

        yield finish


def read(connection: socket.socket, raw: bytes) -> Answer:
    """The answer to what was sent; one to HEAD has no body."""
    response = HTTPResponse(connection, method=raw.partition(b" ")[0].decode("latin-1"))
    response.begin()
    return Answer(response.status, response.headers, response.read())


def exchange(address: Address, raw: bytes) -> Answer:
    """Sends these very bytes."""
    with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
        connection.sendall(raw)
        return read(connection, raw)


def held(answer: Answer) -> Answer:
    """The answer, if it keeps what is promised of every answer."""
    shown = (answer.status, str(answer.headers), answer.text[:2000])
    assert answer.status < 500 or answer.status == 503, shown
    assert answer.headers["X-Request-ID"], shown
    assert answer.headers["X-Content-Type-Options"] == "nosniff", shown
    assert answer.headers["Content-Security-Policy"], shown
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith(("application/json", "application/problem+json")):
        assert answer.headers["Cache-Control"], shown
        assert not any(word in answer.text for word in INTERNALS), shown
    if answer.status >= 400 and not kind.startswith("text/html"):
        assert kind == "application/problem+json", shown
        document = answer.json() if answer.content else dict.fromkeys(PROBLEM) | {"status": answer.status}
        assert set(document) - {"errors"} == PROBLEM, shown
        assert document["status"] == answer.status, shown
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer", shown
    if answer.status in (429, 503):
        assert int(answer.headers["Retry-After"]) > 0, shown
    if answer.status == 429:
        assert ";r=0;" in answer.headers["RateLimit"], shown
        assert answer.headers["RateLimit-Policy"], shown
    return answer


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()
