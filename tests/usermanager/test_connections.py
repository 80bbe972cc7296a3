"""A connection outlives its requests: what arrives early waits, and an idle one is closed in time."""

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.usermanager.processes import clean_environment, descendants, eventually, free_port, running
from usermanager.web_server import client_socket
from usermanager.web_server.client_socket import ClientSocket


def test_a_client_that_does_not_read_its_response_loses_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "SEND_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    with theirs, ClientSocket(fileno=ours.detach()) as client, pytest.raises(ConnectionResetError):
        client.sendall(b"x" * 10_000_000)


def test_header_and_body_of_a_response_are_one_packet_and_a_header_alone_is_sent_at_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs, ClientSocket(fileno=ours.detach()) as client:
        client.begin_response()
        client.sendall(b"header ")
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        client.sendall(b"body ")
        assert theirs.recv(100) == b"header body "
        client.sendall(b"more")
        client.end_response()
        assert theirs.recv(100) == b"more"
        client.begin_response()
        client.sendall(b"header")
        client.end_response()
        assert theirs.recv(100) == b"header"


def test_a_thread_that_answers_ends_the_connection_and_leaves_the_socket_to_the_selector() -> None:
    ours, theirs = socket.socketpair()
    closed = []
    with theirs, ClientSocket(fileno=ours.detach()) as client:
        client.on_close = lambda: closed.append(1)
        client.begin_response()
        client.close()
        assert (theirs.recv(100), client.fileno() >= 0, closed) == (b"", True, [])
        client.end_response()
        client.close()
        client.close()
        assert (client.fileno(), closed) == (-1, [1])


class Server(NamedTuple):
    """A worker with worker_program's application."""

    port: int
    pid: int

    def connect(self, *requests: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(b"".join(requests))
        return connection

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port, folder = free_port(), tmp_path_factory.mktemp("worker")
    environment = clean_environment(DATA_DIR=str(folder), PORT=str(port), WEB_WORKERS="1", LOG_LEVEL="critical")
    command = ["-m", "gunicorn", "-c", "python:usermanager.gunicorn_config"]
    with running([*command, "tests.usermanager.worker_program"], environment, ready="") as started:
        eventually(lambda: _is_open(port))
        [worker] = eventually(lambda: descendants(started.pid))
        yield Server(port, worker)


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Reads one response, and nothing of the next one."""
    header = b""
    while not header.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, header
        header += byte
    length = re.search(rb"Content-Length: (\d+)", header)
    body, missing = b"", int(length[1]) if length else 0
    while len(body) < missing and (more := connection.recv(missing - len(body))):
        body += more
    return int(header.split()[1]), body


pytestmark = pytest.mark.xdist_group("connections")


@pytest.mark.process
def test_what_arrives_while_a_request_is_answered_waits_and_costs_nothing(server: Server) -> None:
    with server.connect(get("/first")) as connection:
        assert answer(connection) == (200, b"/first")
        connection.sendall(get("/slow"))
        time.sleep(0.1)
        before = server.processor_seconds()
        connection.sendall(post("/next", b"x" * 100_000) + get("/last")[:10])
        assert answer(connection) == (200, b"/slow")
        assert server.processor_seconds() - before < 0.1
        assert answer(connection) == (200, b"x" * 100_000)
        connection.sendall(get("/last")[10:])
        assert answer(connection) == (200, b"/last")


@pytest.mark.process
def test_requests_that_arrive_together_are_answered_in_their_order(server: Server) -> None:
    numbers = range(50)
    with server.connect(*(get(f"/{number}") for number in numbers), get("/empty")) as connection:
        assert [answer(connection) for _number in numbers] == [(200, f"/{number}".encode()) for number in numbers]
        assert answer(connection) == (204, b"")


@pytest.mark.process
def test_clients_may_leave_while_they_are_answered_and_responses_may_break(server: Server) -> None:
    for _round in range(20):
        server.connect(get("/slow")).close()
        with server.connect(get("/broken")) as connection:
            while arrived := connection.recv(65536):
                assert not arrived.endswith(b"0\r\n\r\n")  # the last chunk
    with server.connect(get("/first")) as connection:
        assert answer(connection) == (200, b"/first")


@pytest.mark.process
def test_an_idle_connection_is_closed_after_two_seconds(server: Server) -> None:
    with server.connect(get("/")) as connection:
        for _round in range(2):
            assert answer(connection) == (200, b"/")
            time.sleep(1.2)
            connection.sendall(get("/"))
        assert answer(connection) == (200, b"/")
        began = time.monotonic()
        assert connection.recv(100) == b""
        assert 1.5 < time.monotonic() - began < 5
