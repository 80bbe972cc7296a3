"""Answers requests that need a password hash while no slot is free, without a thread and without Django.

Django decides and writes the response. Once it has rejected a request because its network could get no slot, the same
request of this network gets the same response for a second, as long as the table of slots has none for the network,
with its own request id. Two requests are the same if they differ only in headers that do not matter for the response.
Without this, clients that retry at once would take a fifth of the processor from the hashes.
"""

import re
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from django.urls import resolve
from gunicorn.util import http_date

from accounts import request_context
from accounts.hashing.limiter import get_limiter
from accounts.request_context import RequestContext
from usermanager import metrics
from usermanager.middleware import access_log
from usermanager.web_server.client_shares import Networks

REJECTED_SECONDS = 1.0  # then Django decides again, which also frees the slots of dead processes
CHECK_SECONDS = 0.005  # between two looks at the table for a network; each of them lets at most one request through
MAX_NETWORKS = 1000
MAX_RESPONSES = 200

_PATH = re.compile(rb"POST (/api/v1/[a-z/-]+) HTTP/1\.1\r\n")
_WITHOUT_EFFECT = re.compile(
    rb"(user-agent|content-type|x-forwarded-for|x-request-id): [\x21-\x7e][\x20-\x7e]{0,999}|(content-length): \d{1,6}",
    re.IGNORECASE,
)
_REQUEST_ID = re.compile(rb"\r\nx-request-id: ([^\r]*)\r\n", re.IGNORECASE)
_DATE = re.compile(rb"\r\nDate: [^\r]*\r\n")
_LENGTH = re.compile(rb"\r\nContent-Length: \d+\r\n")


class Response(NamedTuple):
    """Django's response, with the request id in it."""

    header: bytes
    body: bytes
    request_id: bytes
    path: str
    route: str


class Rejection(NamedTuple):
    """The response to one request, and what its line in the log needs."""

    content: bytes
    response: Response
    context: RequestContext


@dataclass
class RejectedNetwork:
    """A network that could get no slot. `networks` is its name in the table of slots."""

    networks: request_context.Networks | None
    until: float
    next_check: float = 0.0

    def is_full(self) -> bool:
        """Returns whether the network gets no slot now. Returns False once if it gets one, because several requests
        that arrive together can't all have it."""
        now = monotonic()
        if now < self.next_check:
            return True
        self.next_check = now + CHECK_SECONDS
        return get_limiter().is_full(self.networks)


class EarlyRejections:
    """Remembers which networks get no slot, and how Django rejects their requests. One object for each process."""

    def __init__(self) -> None:
        self._rejected: dict[Networks, RejectedNetwork] = {}
        self._responses: dict[bytes, Response] = {}

    def remember_network(self, networks: Networks) -> None:
        """Remembers that the current request, which is one of the network, could get no slot."""
        if len(self._rejected) >= MAX_NETWORKS:
            self._rejected.clear()
        in_table = request_context.networks(request_context.current.get())
        self._rejected[networks] = RejectedNetwork(in_table, until=monotonic() + REJECTED_SECONDS)

    def remember(self, request_header: bytes, content: bytes) -> None:
        """Remembers Django's response to a request that could get no slot."""
        path, at = _PATH.match(request_header), content.find(b"\r\n\r\n") + 2
        header, body = content[:at], content[at + 2 :]
        own_id = _REQUEST_ID.search(header)
        lowered = request_header.lower()
        # Our own id is so long that it occurs nowhere else in the response. An id that the client sent may occur twice.
        if path is None or own_id is None or b"x-request-id" in lowered:
            return
        if b"\r\nauthorization:" in lowered:  # its view first checks the token and the body, which may get a 401 or 400
            return
        if len(self._responses) >= MAX_RESPONSES:
            self._responses.clear()
        text = path[1].decode()
        text += "" if text.endswith("/") else "/"
        self._responses[_key(request_header)] = Response(header, body, own_id[1], text, f"/{resolve(text).route}")

    def find(self, networks: Networks, request_header: bytes) -> Rejection | None:
        """Returns the response for a request if its network gets no slot at present, otherwise None."""
        network = self._rejected.get(networks)
        if network is None or network.until < monotonic():
            return None
        response = self._responses.get(_key(request_header))
        if response is None or not network.is_full():
            return None
        given = _REQUEST_ID.search(request_header)
        request_id = request_context.request_id(given[1].decode("latin-1").strip(" \t") if given else "")
        body = response.body.replace(response.request_id, request_id.encode())
        header = _DATE.sub(b"\r\nDate: %s\r\n" % http_date().encode(), response.header)
        header = _LENGTH.sub(b"\r\nContent-Length: %d\r\n" % len(body), header)
        header = header.replace(response.request_id, request_id.encode())
        return Rejection(header + b"\r\n" + body, response, RequestContext(request_id=request_id))

    def record(self, rejection: Rejection, seconds: float) -> None:
        """Counts and logs a rejection that was sent, as the middleware does with a response of Django."""
        metrics.count("POST", rejection.response.route, 503, seconds)
        token = request_context.current.set(rejection.context)
        try:
            access_log.info("%s %s %d %.0fms", "POST", rejection.response.path, 503, seconds * 1000)
        finally:
            request_context.current.reset(token)


def _key(request_header: bytes) -> bytes:
    """Returns the header without the lines that have no effect on the response. A repeated line may have one."""
    kept, seen = [], set()
    for line in request_header.split(b"\r\n"):
        ignored = _WITHOUT_EFFECT.fullmatch(line)
        name = (ignored[1] or ignored[2]).lower() if ignored else None
        if name is None or name in seen:
            kept.append(line)
        else:
            seen.add(name)
    return b"\r\n".join(kept)
