"""In a real web server, a slow client occupies no thread, and a network gets no more than its share."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPResponse
from io import BufferedReader
from typing import NamedTuple

import pytest

from tests.usermanager.processes import clean_environment, descendants, eventually, free_port, running
from usermanager.web_server.client_shares import MAX_INCOMPLETE_PER_NETWORK, MAX_OPEN_PER_NETWORK
from usermanager.web_server.client_socket import BODY_SECONDS, HEADER_SECONDS
from usermanager.web_server.worker import MAX_CLOSING

# Starts a program with a low limit of open files, which the program can raise. The tests' own process keeps its limit:
# it may have more files open.
FEW_FILES = ["sh", "-c", 'ulimit -S -n 200 && exec "$@"', "sh"]


pytestmark = pytest.mark.xdist_group("web-worker")  # these tests share one server


class Server(NamedTuple):
    """The product's web server with one worker."""

    port: int
    pid: int

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stops the worker, so that it then finds all events of its clients in one round."""
        [worker] = descendants(self.pid)
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    folder = tmp_path_factory.mktemp("web-worker")
    # Logs would fill the pipe to the tests, which do not read it, and the server would block.
    environment = clean_environment(DATA_DIR=str(folder), PORT=str(port), WEB_WORKERS="1", LOG_LEVEL="critical")
    command = [sys.executable, "-m", "gunicorn", "-c", "python:usermanager.gunicorn_config", "usermanager.wsgi"]
    with running([*FEW_FILES, *command], environment, ready="") as started:
        eventually(lambda: _is_open(port))
        yield Server(port, started.pid)


@pytest.fixture
def port(server: Server) -> int:
    """Returns the port of the server."""
    return server.port


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def _dripped(port: int, begun: str) -> tuple[float, bytes]:
    """Sends the beginning of a request and then a byte at a time. Returns the seconds until the response, and it."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=40) as connection:
        connection.sendall(begun.encode())
        began = time.monotonic()
        connection.settimeout(0.5)
        while not answer:
            assert time.monotonic() - began < 40
            with suppress(TimeoutError):
                connection.sendall(b"x")
                answer = connection.recv(65536)
        return time.monotonic() - began, answer


def _answer_on(connection: socket.socket) -> bytes:
    connection.sendall(b"GET /health/live/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return connection.recv(65536)


def _open(port: int, begun: bytes, address: str = "127.0.0.1") -> socket.socket:
    """Opens a connection from this IP address and sends the beginning of a request."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(address, 0))
    connection.sendall(begun)
    return connection


def _is_open_still(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return bool(connection.recv(65536))
    except BlockingIOError:
        return True
    finally:
        connection.settimeout(20)


def _answered(connection: socket.socket) -> tuple[int, str]:
    response = HTTPResponse(connection)
    response.begin()
    content = response.read()
    return response.status, json.loads(content).get("code", "") if content else ""


LIVE = b"GET /health/live/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
LOGIN = b"POST /api/v1/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HALVES = [LOGIN + b"Content-Length: 2\r\n\r\n{", LOGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{", LOGIN, b""]


@pytest.mark.process
def test_incomplete_requests_occupy_no_thread(port: int) -> None:
    """There are more incomplete requests than threads, from few networks, and each can still be completed."""
    with ExitStack() as stack:
        halves = [
            stack.enter_context(_open(port, HALVES[number % 4], f"127.0.1.{number // 40}")) for number in range(160)
        ]
        assert _answered(stack.enter_context(_open(port, LIVE))) == (200, "")
        assert all(map(_is_open_still, halves))
        for half, rest in zip(halves[:3], [b"}", b"}\r\n0\r\n\r\n", b"Content-Length: 2\r\n\r\n{}"], strict=True):
            half.sendall(rest)
            assert _answered(half) == (400, "validation_error")


@pytest.mark.process
def test_a_network_with_too_many_incomplete_requests_loses_its_oldest_and_other_networks_none(port: int) -> None:
    share = MAX_INCOMPLETE_PER_NETWORK[32]
    with ExitStack() as stack:
        other = stack.enter_context(_open(port, HALVES[0]))
        flood = [stack.enter_context(_open(port, HALVES[0], "127.0.0.2")) for _number in range(share + 5)]
        for refused in flood[:5]:
            response = HTTPResponse(refused)
            response.begin()
            assert (response.status, response.headers["Retry-After"]) == (503, "2")
            assert json.loads(response.read())["code"] == "overloaded"
        assert all(map(_is_open_still, flood[5:]))
        assert _answered(stack.enter_context(_open(port, LIVE, "127.0.0.2"))) == (200, "")
        other.sendall(b"}")
        assert _answered(other) == (400, "validation_error")


@pytest.mark.process
def test_an_event_of_a_connection_that_was_rejected_in_the_same_round_is_ignored(server: Server) -> None:
    """The worker accepts the new connection first and closes the oldest one, whose event follows in the same round."""
    with ExitStack() as stack:
        other = stack.enter_context(_open(server.port, HALVES[0]))
        flood = [
            stack.enter_context(_open(server.port, HALVES[0], "127.0.0.2"))
            for _number in range(MAX_INCOMPLETE_PER_NETWORK[32])
        ]
        answered = [
            stack.enter_context(_open(server.port, b"HELLO\r\n", f"127.0.2.{number % 8}"))
            for number in range(MAX_CLOSING)
        ]
        assert all(_answered(connection)[0] == 400 for connection in answered)
        with server.stopped():
            stack.enter_context(_open(server.port, HALVES[0], "127.0.0.2"))
            for connection in answered:
                connection.close()
            flood[0].sendall(b"}")
        assert _answered(flood[0]) == (503, "overloaded")
        other.sendall(b"}")
        assert _answered(other) == (400, "validation_error")


@pytest.mark.process
def test_more_connections_than_the_usual_limit_of_open_files_do_not_end_the_worker(port: int) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(_open(port, HALVES[0]))
        for number in range(300):
            last = stack.enter_context(_open(port, HALVES[0], f"127.0.{number // 20 + 10}.1"))
        for half in (last, first):
            half.sendall(b"}")
            assert _answered(half) == (400, "validation_error")


@pytest.mark.process
def test_closed_connections_do_not_count(port: int) -> None:
    closing = LIVE[:-2] + b"Connection: close\r\n\r\n"
    for number in range(MAX_OPEN_PER_NETWORK[32] + 1):
        with _open(port, closing if number % 2 else LIVE, "127.0.0.3") as connection:
            assert _answered(connection) == (200, "")


@pytest.mark.process
def test_a_request_may_arrive_in_pieces_and_two_requests_in_one_piece(port: int) -> None:
    with _open(port, b"") as connection:
        for byte in LIVE:
            connection.sendall(bytes([byte]))
        assert _answered(connection) == (200, "")
        connection.sendall(HALVES[0] + b"}" + LIVE + LIVE[:10])
        stream = connection.makefile("rb")
        statuses = [line.split()[1] for line in _lines(stream, 2)]
        assert statuses == [b"400", b"200"]
        connection.sendall(LIVE[10:])
        assert [line.split()[1] for line in _lines(stream, 1)] == [b"200"]


@pytest.mark.process
def test_a_large_request_may_follow_another_at_once(port: int) -> None:
    """gunicorn reads 8 KiB at a time, so it has received a part of the second request without reading it."""
    body = b"x" * 30_000
    second = LOGIN.replace(b"login", b"nowhere") + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with _open(port, LIVE + second) as connection:
        statuses = [line.split()[1] for line in _lines(connection.makefile("rb"), 2)]
    assert statuses == [b"200", b"404"]


def _lines(stream: BufferedReader, number: int) -> Iterator[bytes]:
    """Yields the status lines of this number of consecutive responses."""
    for _answer in range(number):
        first, *headers = list(iter(stream.readline, b"\r\n"))
        [length] = [int(line.partition(b":")[2]) for line in headers if line.lower().startswith(b"content-length")]
        stream.read(length)
        yield first


@pytest.mark.process
def test_a_client_that_expects_100_continue_gets_it_once(port: int) -> None:
    with _open(port, LOGIN + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n") as connection:
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.makefile("rb").readline().split()[1] == b"400"
    with _open(port, LOGIN + b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n") as connection:
        assert connection.makefile("rb").readline().split()[1] == b"413"


@pytest.mark.process
def test_a_request_is_not_performed_if_its_client_leaves_halfway(port: int) -> None:
    """The first half of a body may be valid by itself, such as a form with the first half of a new password."""
    body = json.dumps({"email": "ana@example.com", "password": "laborious-violet-kettle"}).encode()
    request = LOGIN.replace(b"login", b"register") + b"Content-Length: %d\r\n\r\n" % (len(body) + 1) + body
    with _open(port, request) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert _answered(connection) == (400, "parse_error")


@pytest.mark.process
@pytest.mark.parametrize(
    ("begun", "status", "code"),
    [
        (b"HELLO\r\n", 400, "parse_error"),
        (LIVE[:-2] + b"X-A: b\r\n" * 10_000, 431, "headers_too_large"),
        (LOGIN + b"Content-Length: 2000000\r\n\r\n{", 413, "payload_too_large"),
        (LOGIN + b"Content-Length: 70000\r\n\r\n" + b" " * 70_000, 413, "payload_too_large"),
    ],
)
def test_an_invalid_request_is_rejected_before_it_is_complete(port: int, begun: bytes, status: int, code: str) -> None:
    with _open(port, begun) as connection:
        assert _answered(connection) == (status, code)


@pytest.mark.process
def test_a_client_that_keeps_the_connection_open_after_the_response_delays_no_other(port: int) -> None:
    with ExitStack() as stack:
        began = time.monotonic()
        for _each in range(3):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            assert _answer_on(connection).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < 2


@pytest.mark.process
def test_the_server_limits_the_time_for_half_a_header_and_half_a_body(port: int) -> None:
    header = "POST /api/v1/auth/login/ HTTP/1.1\r\nHost: localhost\r\nX-Drip: "
    body = f"{header}x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(lambda begun: _dripped(port, begun), [header, body]))
    for (wait, answer), limit in zip(ends, [HEADER_SECONDS, BODY_SECONDS], strict=True):
        assert limit - 1 < wait < limit + 4
        assert answer.startswith(b"HTTP/1.1 400 Bad Request")
        assert b"The request was incomplete or took too long to arrive." in answer
