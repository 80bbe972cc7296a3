"""Speaks HTTP over bare sockets: requests can be malformed, and many can be completed at the same instant.

Every test checks each response that it gets: no 5xx except 503, no internals, the protective headers, and a problem
document for each error.
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
MEMBERS = {  # that the errors of some codes have besides
    "second_factor_required": {"mfa_token", "expires_in", "methods", "passkey"},
    "enrolment_required": {"mfa_token", "expires_in", "needs_mail"},
    "fresh_login_required": {"methods"},
}


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Message
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    @property
    def code(self) -> str:
        """Returns the code of an error, otherwise an empty text."""
        return str(self.json().get("code", "")) if self.status >= 400 else ""

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Call:
    """A request. A `body` other than bytes is sent as JSON."""

    method: str
    path: str
    access: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self, host: str) -> bytes:
        content = (
            self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body).encode()
        )
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
    """Sends a request except for its last byte, and yields a function that completes it and returns the response."""
    raw = call.raw(f"localhost:{address.port}")
    with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
        connection.sendall(raw[:-1])
        time.sleep(UNTIL_A_THREAD_WAITS_SECONDS)

        def finish() -> Answer:
            connection.sendall(raw[-1:])
            return held(read(connection, raw))

        yield finish


def read(connection: socket.socket, raw: bytes) -> Answer:
    """Reads the response to a request. The response to HEAD has no body."""
    response = HTTPResponse(connection, method=raw.partition(b" ")[0].decode("latin-1"))
    response.begin()
    return Answer(response.status, response.headers, response.read())


def exchange(address: Address, raw: bytes) -> Answer:
    """Sends exactly these bytes and returns the response."""
    with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
        connection.sendall(raw)
        return read(connection, raw)


def held(answer: Answer) -> Answer:
    """Checks what every response must have, and returns the response."""
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
        assert set(document) - {"errors"} - MEMBERS.get(str(document["code"]), set()) == PROBLEM, shown
        assert document["status"] == answer.status, shown
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"].split()[0] == "Bearer", shown
    if answer.status in (429, 503):
        assert int(answer.headers["Retry-After"]) > 0, shown
    if answer.status == 429:
        assert ";r=0;" in answer.headers["RateLimit"], shown
        assert answer.headers["RateLimit-Policy"], shown
    return answer
