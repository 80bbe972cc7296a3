"""gunicorn's worker with threads, held to two promises of ours.

What is not even HTTP is refused with a problem document, too, and a client that sends slowly gives its thread back.
"""

import json
import math
import socket
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import uuid4

from django.conf import settings
from gunicorn.http.errors import (
    ConfigurationProblem,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.workers.gthread import ThreadWorker

HEADER_SECONDS = 5.0  # from its first byte
BODY_SECONDS = 10.0
LINGER_SECONDS = 1.0  # for a client to take its answer and hang up

OURS = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)  # faults of the server, not of a client
REFUSAL = (
    "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    "Content-Length: {length}\r\nX-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nCache-Control: no-store\r\n\r\n"
)


class Problem(NamedTuple):
    """In English: in which language it was asked for cannot be read."""

    status: HTTPStatus
    code: str
    title: str
    detail: str


MALFORMED = Problem(HTTPStatus.BAD_REQUEST, "parse_error", "Malformed request", "This request cannot be understood.")
TOO_LONG: dict[type[ParseException], Problem] = {
    LimitRequestLine: Problem(
        HTTPStatus.REQUEST_URI_TOO_LONG,
        "uri_too_long",
        "Address too long",
        "The address of a request has at most 8 KB.",
    ),
    LimitRequestHeaders: Problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "Headers too large",
        "A request has at most 100 headers, each of at most 8 KB.",
    ),
}


class ImpatientSocket(socket.socket):
    """One that is at its end for the reader when the deadline is over."""

    deadline: float | None = None
    is_late = False

    def begin(self) -> None:
        """Another request: its time begins when something of it is there."""
        self.deadline, self.is_late = None, False

    def recv(self, *arguments: Any) -> bytes:
        if self.deadline is None:
            self.deadline = time.monotonic() + HEADER_SECONDS
        left = self.deadline - time.monotonic()
        try:
            if left > 0:
                self.settimeout(left)
                return super().recv(*arguments)
        except TimeoutError:
            pass
        finally:
            self.setblocking(True)
        self.is_late = True
        return b""

    def linger(self) -> None:
        """Hangs up in a way that loses nothing of the answer (RFC 9112, section 9.6).

        gunicorn would wait for the client in the very thread that accepts all others; nothing is left to wait for then.
        """
        self.deadline = min(self.deadline or math.inf, time.monotonic() + LINGER_SECONDS)
        with suppress(OSError):
            self.shutdown(socket.SHUT_WR)
            while self.recv(4096):
                pass
        self.deadline = 0.0


class Worker(ThreadWorker):  # type: ignore[misc]
    """What gunicorn_config names."""

    def enqueue_req(self, conn: Any) -> None:
        if not isinstance(conn.sock, ImpatientSocket):
            conn.sock = ImpatientSocket(fileno=conn.sock.detach())
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Runs in a thread, once for each request."""
        conn.sock.begin()
        goes_on = super().handle(conn)
        if conn.sock.is_late:  # the rest of this request must not pass for another one
            goes_on = False
        if not goes_on:
            conn.sock.linger()
        return goes_on

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Runs when the header is there."""
        conn.sock.deadline = time.monotonic() + BODY_SECONDS
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Without the words of the request, which may hold a token, in answer or log."""
        if not isinstance(exc, ParseException) or isinstance(exc, OURS):
            super().handle_error(req, client, addr, exc)
            return
        request_id = uuid4().hex
        self.log.warning("%s from %s (%s)", type(exc).__name__, (addr or ["?"])[0], request_id)
        client.sendall(_refusal(TOO_LONG.get(type(exc), MALFORMED), request_id))


def _refusal(problem: Problem, request_id: str) -> bytes:
    document = {
        "type": f"{settings.PUBLIC_URL}/problems/{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "instance": request_id,
    }
    body = json.dumps(document)
    status = {"status": problem.status.value, "reason": problem.status.phrase}
    return (REFUSAL.format(**status, length=len(body), request_id=request_id) + body).encode()
