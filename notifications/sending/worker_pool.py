"""The relay's pool of threads that deliver emails, with a bounded queue; an email is in it once at most."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

from django.db import close_old_connections, connections

from notifications.sending import delivery, smtp

CAPACITY_PER_THREAD = 8


class WorkerPool:
    """Calls `on_half_free` from one of its threads whenever half of its capacity has become free."""

    def __init__(self, threads: int, on_half_free: Callable[[], None]) -> None:
        self.capacity = threads * CAPACITY_PER_THREAD
        self._threads = threads
        self._on_half_free = on_half_free
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="mail")
        self._accepted: dict[UUID, Future[None]] = {}
        self._lock = threading.Lock()
        # Starts all threads now. ThreadPoolExecutor sometimes counts a busy thread as idle, and starts too few later.
        self._run_on_each_thread(lambda: None)

    def offer(self, mail_id: UUID) -> bool:
        """Returns whether the pool has accepted the email, now or before; False when it is full."""
        with self._lock:
            if mail_id not in self._accepted:
                if len(self._accepted) >= self.capacity:
                    return False
                self._accepted[mail_id] = self._executor.submit(self._deliver, mail_id)
        return True

    def shut_down(self) -> None:
        """Begins no further email: the next relay delivers the waiting ones. wait() waits for the others."""
        with self._lock:
            for future in self._accepted.values():
                future.cancel()
        self._run_on_each_thread(_close_connections)
        self._executor.shutdown(wait=False)

    def wait(self) -> None:
        """Waits for the emails that are being sent."""
        self._executor.shutdown()

    def _run_on_each_thread(self, function: Callable[[], None]) -> None:
        """Runs the function once on each thread. A barrier holds each thread back until all have come."""
        all_threads = threading.Barrier(self._threads)

        def run() -> None:
            all_threads.wait()
            function()

        for _ in range(self._threads):
            self._executor.submit(run)

    def _deliver(self, mail_id: UUID) -> None:
        try:
            delivery.deliver(mail_id)
        except delivery.UnexpectedError:  # deliver() has logged it; the thread goes on with the next email
            close_old_connections()
        finally:
            with self._lock:
                del self._accepted[mail_id]
                is_half_free = len(self._accepted) == self.capacity // 2
        if is_half_free:
            self._on_half_free()


def _close_connections() -> None:
    """Closes the thread's own connections, which no other thread can close."""
    smtp.disconnect()
    connections.close_all()
