"""The threads that answer requests. A thread that has answered one takes the next of the queue itself."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import RLock, Thread
from typing import Any

from usermanager.web_server.client_shares import Networks, RequestQueue

Inbox = SimpleQueue[Any]


class AnsweringThreads:
    """Answers the requests of a queue, which decides how many threads there are.

    gunicorn's ThreadPoolExecutor creates a future for each request, and wakes the main thread to start the next one.
    That took as much processor time as the smallest response.
    """

    def __init__(
        self, queue: RequestQueue, answer: Callable[[Any], bool], give_back: Callable[[Any, bool], None]
    ) -> None:
        """`answer` returns whether the connection stays open; both functions raise nothing."""
        self._queue, self._answer, self._give_back = queue, answer, give_back
        self._lock = RLock()  # a signal may call shutdown() while the main thread holds it
        self._idle: list[Inbox] = []  # the thread that has become idle last is last, and gets the next request
        self._is_stopping = False

    def add(self, conn: Any, networks: Networks) -> bool:
        """Queues a request for a thread. Returns False if too many requests of its network wait."""
        conn.networks, conn.has_released_turn = networks, False
        with self._lock:
            is_queued = self._queue.add(conn, networks)
            self._start_requests()
        return is_queued

    def release_turn(self, conn: Any) -> None:
        """Lets another request of the network run, because this one only waits for a hash; runs in its thread."""
        with self._lock:
            if not conn.has_released_turn:
                conn.has_released_turn = True
                self._queue.release_turn(conn.networks)
                self._start_requests()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        self.shutdown(wait=False)

    def shutdown(self, wait: bool) -> None:
        """Ends each thread once it has answered its request. Does not wait for that, as gunicorn asks for."""
        with self._lock:
            self._is_stopping = True
            for inbox in self._idle:
                inbox.put(None)

    def _start_requests(self) -> None:
        while (conn := self._queue.next()) is not None:
            inbox = self._idle.pop() if self._idle else self._start_thread()
            inbox.put(conn)

    def _start_thread(self) -> Inbox:
        inbox: Inbox = SimpleQueue()
        Thread(target=self._run, args=(inbox,), name="answer").start()
        return inbox

    def _run(self, inbox: Inbox) -> None:
        while (conn := inbox.get()) is not None:
            while conn is not None:
                conn = self._answer_and_take_next(conn, inbox)

    def _answer_and_take_next(self, conn: Any, inbox: Inbox) -> Any:
        keeps_alive = self._answer(conn)
        with self._lock:
            self._queue.finish(conn.networks, has_released_turn=conn.has_released_turn)
            following = self._queue.next()
            if following is None:
                self._idle.append(inbox)
                if self._is_stopping:
                    inbox.put(None)
        self._give_back(conn, keeps_alive)
        return following
