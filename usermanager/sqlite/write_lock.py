"""Lets writers of an SQLite database take turns, across threads and processes.

SQLite has one writer at a time. The others poll for the lock, sleeping longer each time, so some wait for seconds while
newer ones overtake them. This lock comes before SQLite's. The threads of a process wait in a queue, and only the first
of them competes with other processes. SQLite's own lock still decides: a program that doesn't use this one, such as the
`sqlite3` shell, waits and is waited for as before.
"""

import fcntl
import logging
import os
import threading
import time
from collections import deque

POLL_SECONDS = 0.0005
# The bytes of the lock file that a process locks. The kernel releases both when the process dies.
WRITER, NEXT = 0, 1

log = logging.getLogger(__name__)


class WriteLock:
    """The lock of one database file. A process has one object for all of its threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._open()
        self._guard = threading.Lock()
        self._queue: deque[threading.Lock] = deque()
        self._is_taken = False

    def acquire(self, seconds: float) -> bool:
        """Waits for this thread's turn, at most for this time. Returns whether it has come."""
        deadline = time.monotonic() + seconds
        if not self._wait_in_queue(seconds):
            return False
        is_ours = False
        try:
            is_ours = self._file is None or self._wait_for_processes(deadline)
        finally:
            if not is_ours:  # the time is over, or Ctrl-C interrupts the wait
                self._leave()
        return is_ours

    def release(self) -> None:
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, WRITER)
        self._leave()

    def _open(self) -> int | None:
        """Opens the lock file, and never closes it: that would release the process's locks. Returns None if another
        user created it or the folder is read-only. Processes then wait for SQLite's lock alone."""
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            log.warning("%s cannot be opened (%s), so processes that write don't take turns", self._path, error)
            return None

    def _wait_in_queue(self, seconds: float) -> bool:
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        try:
            if turn.acquire(timeout=seconds):
                return True
        except BaseException:  # Ctrl-C interrupts the wait
            if not self._withdraw(turn):
                self._leave()
            raise
        return not self._withdraw(turn)

    def _withdraw(self, turn: threading.Lock) -> bool:
        """Takes a thread out of the queue. Returns False if its turn came at the last moment."""
        with self._guard:
            if turn not in self._queue:
                return False
            self._queue.remove(turn)
            return True

    def _leave(self) -> None:
        """Gives the turn to the thread that has waited longest. Without this, a newer thread could overtake it."""
        with self._guard:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._is_taken = False

    def _wait_for_processes(self, deadline: float) -> bool:
        """Locks the file. A process that waits is the next one: another can't take the lock twice meanwhile.

        Polls, because a call that waits in the kernel has no timeout.
        """
        if not self._poll(NEXT, deadline):
            return False
        try:
            return self._poll(WRITER, deadline)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, NEXT)  # type: ignore[arg-type]

    def _poll(self, place: int, deadline: float) -> bool:
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)  # type: ignore[arg-type]
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(POLL_SECONDS)


_locks: dict[str, WriteLock] = {}
_guard = threading.Lock()


def of(database: str) -> WriteLock:
    """Returns this process's lock of the database file."""
    path = os.path.realpath(database) + "-writer"
    with _guard:
        if path not in _locks:
            _locks[path] = WriteLock(path)
        return _locks[path]


def _forget() -> None:
    """Gives a forked child locks of its own. The threads that hold and await the copied ones are in the parent."""
    global _guard
    _guard = threading.Lock()
    _locks.clear()


os.register_at_fork(after_in_child=_forget)
