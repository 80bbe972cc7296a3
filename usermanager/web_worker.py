"""gunicorn's worker with threads, held to two promises of ours.

What is not even HTTP is refused with a problem document, too, and a client that sends slowly gives its thread back.
"""

import json
import socket
import time
from typing import Any
from uuid import uuid4

from django.conf import settings
from gunicorn.http.errors import (
    ConfigurationProblem,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    ParseException,
)
from gunicorn.workers.gthread import ThreadWorker

REQUEST_SECONDS = 20.0

OURS = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)  # faults of the server, not of a client
REFUSAL = (
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    "Content-Length: {length}\r\nX-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nCache-Control: no-store\r\n\r\n"
)


class ImpatientSocket(socket.socket):
    """One that is at its end for the reader when the deadline is over."""

    deadline = float("inf")

    def recv(self, *arguments: Any) -> bytes:
        left = self.deadline - time.monotonic()
        if left <= 0:
            return b""
        self.settimeout(min(left, REQUEST_SECONDS))
        try:
            return super().recv(*arguments)
        except TimeoutError:
            return b""
        finally:
            self.setblocking(True)


class Worker(ThreadWorker):  # type: ignore[misc]
    """What gunicorn_config names."""

    def enqueue_req(self, conn: Any) -> None:
        if not isinstance(conn.sock, ImpatientSocket):
            conn.sock = ImpatientSocket(fileno=conn.sock.detach())
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Runs in a thread, once for each request."""
        conn.sock.deadline = time.monotonic() + REQUEST_SECONDS
        return super().handle(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Without the words of the request, which may hold a token, in answer or log."""
        if not isinstance(exc, ParseException) or isinstance(exc, OURS):
            super().handle_error(req, client, addr, exc)
            return
        request_id = uuid4().hex
        self.log.warning("%s from %s (%s)", type(exc).__name__, (addr or ["?"])[0], request_id)
        client.sendall(_refusal(request_id))


def _refusal(request_id: str) -> bytes:
    """In English: in which language it was asked for cannot be read."""
    document = {
        "type": f"{settings.PUBLIC_URL}/problems/parse_error",
        "title": "Malformed request",
        "status": 400,
        "detail": "This request cannot be understood.",
        "code": "parse_error",
        "instance": request_id,
    }
    body = json.dumps(document)
    return (REFUSAL.format(length=len(body), request_id=request_id) + body).encode()
