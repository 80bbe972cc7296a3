"""The connections that wait for their next request."""

from collections.abc import Iterator
from threading import Lock
from typing import Any


class IdleConnections:
    """Takes the place of gunicorn's deque. A thread may add a connection, and removing one is cheap among many.

    The connection that has waited for the longest time is first.
    """

    def __init__(self) -> None:
        self._connections: dict[Any, None] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Any]:
        with self._lock:
            return iter(list(self._connections))

    def __getitem__(self, index: int) -> Any:
        """Returns the first one; gunicorn reads no other."""
        with self._lock:
            return next(iter(self._connections))

    def append(self, connection: Any) -> None:
        with self._lock:
            self._connections[connection] = None

    def popleft(self) -> None:
        """Removes the first one."""
        with self._lock:
            del self._connections[next(iter(self._connections))]

    def discard(self, connection: Any) -> None:
        with self._lock:
            self._connections.pop(connection, None)
