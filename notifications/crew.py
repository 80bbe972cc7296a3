"""A few threads that deliver what is put before them, each mail by one of them."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from uuid import UUID

from django.db import close_old_connections, connections

from notifications import delivery, mail_server

PLACES_PER_THREAD = 8


class Crew:
    """`on_room` is called by one of the threads whenever half of the places have become free."""

    def __init__(self, threads: int, on_room: Callable[[], None]) -> None:
        self.places = threads * PLACES_PER_THREAD
        self._on_room = on_room
        self._waiting: SimpleQueue[UUID | None] = SimpleQueue()
        self._in_hand: set[UUID] = set()
        self._lock = threading.Lock()
        self._is_closing = False
        self._threads = [threading.Thread(target=self._work, name=f"mail-{number}") for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def offer(self, mail_id: UUID) -> bool:
        """Whether there was a place for it; a mail that is in hand already keeps the one it has."""
        with self._lock:
            if mail_id in self._in_hand:
                return True
            if len(self._in_hand) >= self.places:
                return False
            self._in_hand.add(mail_id)
        self._waiting.put(mail_id)
        return True

    def dismiss(self) -> None:
        """Takes up nothing more, and leaves what waits to the next relay."""
        self._is_closing = True
        for _ in self._threads:
            self._waiting.put(None)

    def wait(self) -> None:
        """Lets the mails that are being sent go out."""
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (mail_id := self._waiting.get()) is not None:
            if not self._is_closing:
                self._deliver(mail_id)
            self._put_down(mail_id)
        mail_server.hang_up()
        connections.close_all()

    def _deliver(self, mail_id: UUID) -> None:
        try:
            delivery.deliver(mail_id)
        except delivery.Unforeseen:  # it is in the log; whatever became of one mail, the next one has its turn
            close_old_connections()

    def _put_down(self, mail_id: UUID) -> None:
        with self._lock:
            self._in_hand.discard(mail_id)
            has_room = len(self._in_hand) == self.places // 2
        if has_room:
            self._on_room()
