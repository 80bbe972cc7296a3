"""gunicorn's worker with threads, in which a client that is slow takes no thread.

The main thread reads each request and gives it to a thread when it is whole, in turn between client networks, and waits
for clients that were answered to hang up. What is not even HTTP is refused with a problem document, too. The probes of
/health/ have threads of their own, so that they are answered whatever all others are waiting for.
"""

import selectors
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
from usermanager.client_shares import Arriving, Open, Turns, client_networks
from usermanager.client_socket import READ_BYTES, ImpatientSocket
from usermanager.unread_requests import LATE, MALFORMED, OVERLOADED, TOO_LONG, Problem, answer

LINGER_SECONDS = 1.0  # for a client to take the end of its answer and hang up
LOOK_SECONDS = 0.25  # between two looks for what is late
MOST_LEAVING = 200
PROBES = (b"GET /health/live", b"GET /health/ready")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

OURS = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)  # faults of the server, not of a client


class Worker(ThreadWorker):  # type: ignore[misc]
    """What gunicorn_config names. Its main thread reads requests and hands the whole ones to threads."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.open = Open()
        self.arriving = Arriving()
        self.leaving: dict[Any, float] = {}  # connections that were answered, and when each is closed at the latest
        self.turns = Turns(self.cfg.threads, settings.WEB_THREADS)
        self.next_look = 0.0
        self.in_thread = threading.local()

    def init_process(self) -> None:
        hash_awaited.connect(self._idles)
        self.probe_threads = {probe: ThreadPoolExecutor(1, "probe") for probe in PROBES}
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """Called for a connection that is new, or that has something to read again."""
        if not isinstance(conn.sock, ImpatientSocket) and not self._welcomes(conn):
            return
        conn.sock.begin(conn.parser.unreader.take_buffered() if conn.parser else b"")
        conn.sock.setblocking(False)
        conn.data_ready = True  # gunicorn's thread has nothing to wait for
        conn.asks_for_body = False
        self.arriving.add(conn, _peer(conn))
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._read, conn))
        self._read(conn, conn.sock)
        if (oldest := self.arriving.surplus(conn)) is not None:
            self._refuse(oldest, OVERLOADED)

    def _welcomes(self, conn: Any) -> bool:
        """Whether a new connection may stay; one too many of its network is closed at once."""
        conn.sock = ImpatientSocket(fileno=conn.sock.detach())
        peer = _peer(conn)
        if self.open.enter(peer):
            conn.sock.on_close = partial(self.method_queue.defer, self.open.leave, peer)  # threads close some
            return True
        conn.sock.setblocking(False)
        with suppress(OSError):
            conn.sock.send(answer(OVERLOADED, uuid4().hex))
        self._close(conn)
        return False

    def _read(self, conn: Any, _sock: Any) -> None:
        if conn not in self.arriving:
            return  # another event of the same round has refused it
        try:
            is_open = conn.sock.take_in()
        except OSError:
            is_open = False
            conn.sock.received.clear()
        framing = conn.sock.framing
        if framing.header_is_too_large:
            self._refuse(conn, TOO_LONG[LimitRequestHeaders])
        elif framing.is_whole():
            self._run(conn)
        elif not is_open:
            self._refuse(conn, LATE) if framing.received else self._drop(conn)
        elif framing.awaits_continue and not conn.asks_for_body:
            conn.asks_for_body = True
            with suppress(OSError):
                conn.sock.send(CONTINUE)

    def _run(self, conn: Any) -> None:
        """The request waits for its turn to get a thread."""
        header = bytes(conn.sock.received[: conn.sock.framing.body_at or 0])
        conn.networks = client_networks(_peer(conn), header)
        conn.has_idled = False
        if (threads := self._threads_of_probe(conn, header)) is not None:
            self._forget(conn)
            done = threads.submit(self.handle, conn)
            done.add_done_callback(lambda _done: self.method_queue.defer(self._finish, conn, done))
            return
        if not self.turns.add(conn, conn.networks):
            self._refuse(conn, OVERLOADED)
            return
        self._forget(conn)
        self._start_threads()

    def _threads_of_probe(self, conn: Any, header: bytes) -> ThreadPoolExecutor | None:
        """For the first request of a connection: a client that never reads its answers takes no thread for long."""
        probe = next((probe for probe in PROBES if header.startswith(probe)), None)
        return self.probe_threads[probe] if probe and not conn.initialized else None

    def _start_threads(self) -> None:
        while (conn := self.turns.next()) is not None:
            super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Runs in a thread, once for each request."""
        self.in_thread.conn = conn
        goes_on = super().handle(conn)
        if goes_on and conn.sock.received:  # of the next request, sent before this one was answered
            unreader = conn.parser.unreader
            unreader.unread(unreader.take_buffered() + bytes(conn.sock.received))
        return goes_on and not conn.sock.is_late  # the rest of this request must not pass for another one

    def handle_request(self, req: Any, conn: Any) -> Any:
        req._expected_100_continue = False  # its client has been asked already, or has not waited to be
        return super().handle_request(req, conn)

    def _idles(self, **_kwargs: Any) -> None:
        """Runs in the thread of a request that waits for a hash: it leaves the interpreter to others."""
        conn = getattr(self.in_thread, "conn", None)
        if conn is not None:
            self.method_queue.defer(self._give_up_turn, conn)

    def _give_up_turn(self, conn: Any) -> None:
        """Runs in the main thread, before finish_request(), which is queued later."""
        if not conn.has_idled:
            conn.has_idled = True
            self.turns.idles(conn.networks)
            self._start_threads()

    def finish_request(self, conn: Any, fs: Any) -> None:
        self.turns.ends(conn.networks, has_idled=conn.has_idled)
        self._finish(conn, fs)
        self._start_threads()

    def _finish(self, conn: Any, fs: Any) -> None:
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self._hang_up(conn)

    def _refuse(self, conn: Any, problem: Problem) -> None:
        """Answers a connection that is not given to a thread."""
        self._forget(conn)
        with suppress(OSError):
            conn.sock.send(answer(problem, uuid4().hex))
        self._hang_up(conn)

    def _hang_up(self, conn: Any) -> None:
        """Closes the connection when its client has, so that nothing of the answer is lost (RFC 9112, section 9.6)."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):
            self._close(conn)
        else:
            self.leaving[conn] = time.monotonic() + LINGER_SECONDS
            if len(self.leaving) > MOST_LEAVING:
                self._let_go(next(iter(self.leaving)))

    def _drain(self, conn: Any, _sock: Any) -> None:
        if conn not in self.leaving:
            return  # another event of the same round has closed it
        try:
            if socket.socket.recv(conn.sock, READ_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._let_go(conn)

    def _let_go(self, conn: Any) -> None:
        del self.leaving[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _drop(self, conn: Any) -> None:
        self._forget(conn)
        self._close(conn)

    def _forget(self, conn: Any) -> None:
        self.arriving.remove(conn)
        self.poller.unregister(conn.sock)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Runs after each round of events: ends what has taken too long."""
        super().murder_pending()
        now = time.monotonic()
        if now < self.next_look and self.alive:
            return
        self.next_look = now + LOOK_SECONDS
        for conn in self.arriving:
            if conn.sock.received and conn.sock.deadline < now:
                self._refuse(conn, LATE)
            elif conn.sock.deadline < now or not (conn.sock.received or self.alive):
                self._drop(conn)
        for conn in [conn for conn, deadline in self.leaving.items() if deadline < now]:
            self._let_go(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Without the words of the request, which may hold a token, in answer or log."""
        if not isinstance(exc, ParseException) or isinstance(exc, OURS):
            super().handle_error(req, client, addr, exc)
            return
        request_id = uuid4().hex
        self.log.warning("%s from %s (%s)", type(exc).__name__, (addr or ["?"])[0], request_id)
        client.sendall(answer(TOO_LONG.get(type(exc), MALFORMED), request_id))


def _peer(conn: Any) -> str:
    """The IP address at the other end of the connection; a Unix socket has none."""
    return str(conn.client[0]) if isinstance(conn.client, tuple) else ""
