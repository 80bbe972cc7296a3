"""A way to the broker that can be long, be cut, or freeze as if the broker hung."""

import select
import socket
import threading
import time
from contextlib import suppress


class Proxy:
    """Forwards bytes between its port and the broker until a test cuts it."""

    def __init__(self, host: str = "127.0.0.1", port: int = 5672) -> None:
        self.is_frozen = False
        self.delay_seconds = 0.0
        self.connections = 0
        self.answers = 0  # how often bytes came back
        self._target = (host, port)
        self._ends: list[socket.socket] = []
        self._far: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_closing = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._listener.getsockname()[1]}//"

    def cut(self) -> None:
        """Ends every connection there is."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._is_closing = True
        self._thread.join()
        for end in (*self._ends, self._listener):
            end.close()

    def _run(self) -> None:
        peers: dict[socket.socket, socket.socket] = {}
        while not self._is_closing:
            watched = [self._listener] if self.is_frozen else [self._listener, *peers]
            for ready in select.select(watched, [], [], 0.02)[0]:
                if ready is self._listener:
                    self._connect(peers)
                elif ready in peers:
                    time.sleep(self.delay_seconds)
                    self.answers += ready in self._far
                    _pass_on(ready, peers)

    def _connect(self, peers: dict[socket.socket, socket.socket]) -> None:
        near, far = self._listener.accept()[0], socket.create_connection(self._target)
        self.connections += 1
        peers |= {near: far, far: near}
        self._ends += [near, far]
        self._far.append(far)


def _pass_on(ready: socket.socket, peers: dict[socket.socket, socket.socket]) -> None:
    try:
        received = ready.recv(65536)
    except OSError:
        received = b""
    if received:
        peers[ready].sendall(received)
        return
    other = peers.pop(ready)
    peers.pop(other, None)
    for end in (ready, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
