"""gunicorn's worker with threads, changed so that a slow client occupies no thread.

The main thread reads each request. Once it is complete, it waits in a queue for a thread, where client networks take
turns. After the response, the main thread waits until the client closes the connection. A malformed request gets a
problem document. The probes of /health/ have separate threads, so they are answered while all other threads wait.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Any
from uuid import uuid4

from django.conf import settings
from gunicorn.http.errors import (
    ConfigurationProblem,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    ParseException,
)
from gunicorn.workers.gthread import ThreadWorker

from accounts.signals import hash_awaited
from usermanager.web_server.answering_threads import AnsweringThreads
from usermanager.web_server.client_shares import IncompleteRequests, OpenConnections, RequestQueue, client_networks
from usermanager.web_server.client_socket import READ_BYTES, ClientSocket
from usermanager.web_server.idle_connections import IdleConnections
from usermanager.web_server.problem_responses import (
    INCOMPLETE,
    MALFORMED,
    OVERLOADED,
    TOO_LARGE,
    Problem,
    problem_response,
)

LINGER_SECONDS = 1.0  # for a client to read the end of its response and close the connection
CHECK_SECONDS = 0.25  # between two checks of the time limits
MAX_CLOSING = 200
PROBES = (b"GET /health/live", b"GET /health/ready")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# gunicorn raises these for errors of the server. All other kinds of ParseException are errors of the client.
SERVER_ERRORS = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)


class State(Enum):
    """What happens with a connection. The main thread owns it, except while a thread answers its request."""

    READING = auto()
    ANSWERING = auto()
    CLOSING = auto()


class Worker(ThreadWorker):  # type: ignore[misc]
    """The main thread reads requests, the other threads answer them.

    The selector watches a connection from its opening to its end. Only if something arrives while a thread answers, the
    main thread stops to watch it until the thread is done: system calls for each request would take longer.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.open_connections = OpenConnections()
        self.incomplete_requests = IncompleteRequests()
        self.keepalived_conns = IdleConnections()
        self.closing: dict[Any, float] = {}  # answered connections, and their deadlines
        queue = RequestQueue(self.cfg.threads, settings.WEB_THREADS)
        self.threads = AnsweringThreads(queue, self._answer, self._give_back)
        self.hand_over = threading.Lock()  # between the main thread and the thread that answers
        self.next_check = 0.0
        self.thread_state = threading.local()

    def init_process(self) -> None:
        hash_awaited.connect(self._on_hash_awaited)
        self.probe_threads = {probe: ThreadPoolExecutor(1, "probe") for probe in PROBES}
        with self.threads:  # ends them after an error, too: Python waits for them before it exits
            super().init_process()

    def get_thread_pool(self) -> AnsweringThreads:
        return self.threads

    def enqueue_req(self, conn: Any) -> None:
        """Starts to read the first request of a connection. gunicorn calls this for a new connection."""
        conn.data_ready = True  # the thread need not wait
        conn.state = State.READING
        conn.is_watched = conn.has_sent_continue = False
        if not self._admit(conn):
            return
        self._watch(conn, self._on_readable)
        self._read(conn)

    def _admit(self, conn: Any) -> bool:
        """Counts a new connection. Answers and closes it, and returns False, if its network has too many."""
        family, kind, protocol = conn.sock.family, conn.sock.type, conn.sock.proto
        conn.sock = ClientSocket(family, kind, protocol, conn.sock.detach())
        peer = peer_of(conn)
        if self.open_connections.admit(peer):
            conn.sock.on_close = partial(self.open_connections.remove, peer)
            return True
        with suppress(OSError):
            conn.sock.send(problem_response(OVERLOADED, uuid4().hex))
        self._close(conn)
        return False

    def _on_readable(self, conn: Any, _sock: Any) -> None:
        with self.hand_over:
            if conn.state is State.ANSWERING:  # the client has sent its next request, or has left
                self._unwatch(conn)
        if conn.state is State.READING:  # another event of the same round may have rejected it
            self.keepalived_conns.discard(conn)
            self._read(conn)

    def _read(self, conn: Any) -> None:
        try:
            is_open = conn.sock.receive_available()
        except OSError:
            is_open = False
            conn.sock.received.clear()
        framing = conn.sock.framing
        if framing.is_header_too_large:
            self._reject(conn, TOO_LARGE[LimitRequestHeaders])
        elif framing.is_complete():
            self._enqueue(conn)
        elif not is_open:
            self._reject(conn, INCOMPLETE) if framing.received else self._close_unanswered(conn)
        else:
            self._await_rest(conn)

    def _await_rest(self, conn: Any) -> None:
        """Counts an incomplete request, and closes another connection if there are too many."""
        if conn.sock.framing.awaits_continue and not conn.has_sent_continue:
            conn.has_sent_continue = True
            with suppress(OSError):
                conn.sock.send(CONTINUE)
        if conn in self.incomplete_requests:
            return
        self.incomplete_requests.add(conn, peer_of(conn))
        if (oldest := self.incomplete_requests.find_surplus(conn)) is not None:
            self._reject(oldest, OVERLOADED)

    def _enqueue(self, conn: Any) -> None:
        """Queues a complete request for a thread, or gives a probe to its own thread."""
        header = bytes(conn.sock.received[: conn.sock.framing.body_at or 0])
        self.incomplete_requests.discard(conn)
        conn.state = State.ANSWERING
        if (threads := self._probe_threads(conn, header)) is not None:
            threads.submit(lambda: self._give_back(conn, self._answer(conn)))
        elif not self.threads.add(conn, client_networks(peer_of(conn), header)):
            self._reject(conn, OVERLOADED)

    def _probe_threads(self, conn: Any, header: bytes) -> ThreadPoolExecutor | None:
        """Returns the thread of a probe. Only the first request of a connection gets it.

        Otherwise a client that never reads its responses would occupy this thread.
        """
        probe = next((probe for probe in PROBES if header.startswith(probe)), None)
        return self.probe_threads[probe] if probe and not conn.initialized else None

    def _answer(self, conn: Any) -> bool:
        """Answers one request; runs in a thread. Returns whether the connection stays open for another request."""
        self.thread_state.conn = conn
        try:
            return bool(self.handle(conn)) and not conn.sock.is_cut_short  # else its rest would be the next request
        except BaseException:
            self.log.exception("Error handling a request")
            return False

    def handle_request(self, req: Any, conn: Any) -> Any:
        req._expected_100_continue = False  # the main thread has answered it
        conn.sock.begin_response()
        try:
            return super().handle_request(req, conn)
        finally:
            conn.sock.end_response()

    def _give_back(self, conn: Any, keeps_alive: bool) -> None:
        """Returns the connection to the main thread; runs in a thread. Wakes the main thread only if it must act."""
        if keeps_alive:
            # gunicorn reads 8 KiB at a time, so it may hold the beginning of the next request.
            read_ahead = conn.parser.unreader.take_buffered() if conn.parser else b""
            next_request = read_ahead + conn.sock.received
            conn.sock.begin_request(next_request)
            conn.has_sent_continue = False
            conn.set_timeout()
            with self.hand_over:
                if conn.is_watched and not next_request:
                    conn.state = State.READING
                    self.keepalived_conns.append(conn)
                    return
        self.method_queue.defer(self._continue, conn, keeps_alive)

    def _continue(self, conn: Any, keeps_alive: bool) -> None:
        """Reads the next request of a connection that has sent a part of it early, or closes the connection."""
        if not keeps_alive:
            self._close_gracefully(conn)
            return
        conn.state = State.READING
        self._watch(conn, self._on_readable)
        self._read(conn)

    def _on_hash_awaited(self, **_kwargs: Any) -> None:
        """Releases the turn of a request that waits for a hash; runs in its thread.

        Meanwhile the thread does not use the interpreter, so another request of the network may run.
        """
        conn = getattr(self.thread_state, "conn", None)
        if conn is not None:
            self.threads.release_turn(conn)

    def _reject(self, conn: Any, problem: Problem) -> None:
        """Answers a request with a problem document, without a thread."""
        self.incomplete_requests.discard(conn)
        with suppress(OSError):
            conn.sock.send(problem_response(problem, uuid4().hex))
        self._close_gracefully(conn)

    def _close_gracefully(self, conn: Any) -> None:
        """Closes the connection once the client has. Closing earlier may lose the response (RFC 9112, section 9.6)."""
        conn.state = State.CLOSING
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            self._watch(conn, self._drain)
        except (OSError, ValueError):
            self._close(conn)
        else:
            self.closing[conn] = time.monotonic() + LINGER_SECONDS
            if len(self.closing) > MAX_CLOSING:
                self._finish_closing(next(iter(self.closing)))

    def _drain(self, conn: Any, _sock: Any) -> None:
        if conn not in self.closing:
            return  # another event of the same round has closed it
        try:
            if socket.socket.recv(conn.sock, READ_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._finish_closing(conn)

    def _finish_closing(self, conn: Any) -> None:
        del self.closing[conn]
        self._close(conn)

    def _close_unanswered(self, conn: Any) -> None:
        self.incomplete_requests.discard(conn)
        self._close(conn)

    def _close(self, conn: Any) -> None:
        conn.state = State.CLOSING
        self._unwatch(conn)
        self.nr_conns -= 1
        conn.close()

    def _watch(self, conn: Any, on_readable: Callable[[Any, Any], None]) -> None:
        change = self.poller.modify if conn.is_watched else self.poller.register
        change(conn.sock, selectors.EVENT_READ, partial(on_readable, conn))
        conn.is_watched = True

    def _unwatch(self, conn: Any) -> None:
        if conn.is_watched:
            conn.is_watched = False
            self.poller.unregister(conn.sock)

    def murder_pending(self) -> None:
        """Ends connections that took too long. gunicorn calls this after each round of events."""
        super().murder_pending()
        now = time.monotonic()
        if now < self.next_check and self.alive:
            return
        self.next_check = now + CHECK_SECONDS
        for conn in self.incomplete_requests:
            if conn.sock.received and conn.sock.deadline < now:
                self._reject(conn, INCOMPLETE)
            elif conn.sock.deadline < now or not (conn.sock.received or self.alive):
                self._close_unanswered(conn)
        for conn in [conn for conn, deadline in self.closing.items() if deadline < now]:
            self._finish_closing(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers a malformed request. Neither response nor log quotes the request, which may contain a token."""
        if not isinstance(exc, ParseException) or isinstance(exc, SERVER_ERRORS):
            super().handle_error(req, client, addr, exc)
            return
        request_id = uuid4().hex
        self.log.warning("%s from %s (%s)", type(exc).__name__, (addr or ["?"])[0], request_id)
        client.sendall(problem_response(TOO_LARGE.get(type(exc), MALFORMED), request_id))


def peer_of(conn: Any) -> str:
    """Returns the IP address at the other end of the connection, or an empty string for a Unix socket."""
    return str(conn.client[0]) if isinstance(conn.client, tuple) else ""
