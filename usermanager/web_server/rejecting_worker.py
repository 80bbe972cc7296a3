"""Answers a request that could get no hash slot in the main thread, with a delay that occupies no thread."""

import time
from collections import deque
from typing import Any

from accounts.hashing.limiter import REJECTION_DELAY_SECONDS
from accounts.signals import hash_rejected
from usermanager.web_server.client_shares import client_networks
from usermanager.web_server.worker import State, Worker, peer_of


class RejectingWorker(Worker):
    """The worker class of gunicorn_config."""

    rejections: Any = None  # an EarlyRejections; gunicorn loads this class before Django, which that needs

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.delayed: deque[tuple[float, Any, Any]] = deque()  # when it is due, the connection, the rejection

    def init_process(self) -> None:
        hash_rejected.connect(self._on_hash_rejected)
        super().init_process()

    def _enqueue(self, conn: Any) -> None:
        conn.is_rejected = False
        received, framing = conn.sock.received, conn.sock.framing
        conn.header = b""
        if received.startswith(b"POST ") and framing.end == len(received) and not framing.awaits_continue:
            conn.header = bytes(received[: framing.body_at])
            networks = client_networks(peer_of(conn), conn.header)
            rejection = self.rejections.find(networks, conn.header) if self.alive else None
            if rejection is not None:
                self.incomplete_requests.discard(conn)
                conn.state = State.ANSWERING
                self.delayed.append((time.monotonic() + REJECTION_DELAY_SECONDS, conn, rejection))
                return
        super()._enqueue(conn)

    def _on_hash_rejected(self, **_kwargs: Any) -> None:
        """Remembers that the request of this thread could get no slot."""
        conn = getattr(self.thread_state, "conn", None)
        if conn is not None:
            conn.is_rejected = True
            self.rejections.remember_network(conn.networks)

    def _answer(self, conn: Any) -> bool:
        keeps_alive = super()._answer(conn)
        if conn.is_rejected and keeps_alive and conn.header:
            self.rejections.remember(conn.header, conn.sock.sent)
        return keeps_alive

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self.delayed:
            timeout = min(timeout, max(0.0, self.delayed[0][0] - time.monotonic()))
        super().wait_for_and_dispatch_events(timeout)
        while self.delayed and self.delayed[0][0] <= time.monotonic():
            due, conn, rejection = self.delayed.popleft()
            self._send_rejection(conn, rejection)
            self.rejections.record(rejection, time.monotonic() - due + REJECTION_DELAY_SECONDS)

    def _send_rejection(self, conn: Any, rejection: Any) -> None:
        try:
            is_sent = conn.sock.send(rejection.content) == len(rejection.content)
        except OSError:  # the client has left, or has not read its last response
            is_sent = False
        conn.sock.received.clear()
        self._give_back(conn, is_sent)
