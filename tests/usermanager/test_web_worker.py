"""A client that sends slowly is at its end when its time is over, however many bytes it still drips."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.usermanager.processes import clean_environment, eventually, free_port, running
from usermanager import web_worker
from usermanager.web_worker import BODY_SECONDS, HEADER_SECONDS, ImpatientSocket


@pytest.fixture
def pair() -> Iterator[tuple[ImpatientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    impatient = ImpatientSocket(fileno=ours.detach())
    yield impatient, theirs
    impatient.close()
    theirs.close()


def test_what_arrives_in_time_is_read(pair: tuple[ImpatientSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.deadline = time.monotonic() + 20
    theirs.sendall(b"hello")
    assert ours.recv(100) == b"hello"
    assert ours.gettimeout() is None  # answers may take their time


def test_silence_ends_with_the_deadline(pair: tuple[ImpatientSocket, socket.socket]) -> None:
    ours, _theirs = pair
    began = time.monotonic()
    ours.deadline = began + 0.2
    assert ours.recv(100) == b""
    assert 0.2 <= time.monotonic() - began < 5


def test_a_deadline_that_is_not_set_begins_with_the_first_byte(
    pair: tuple[ImpatientSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_worker, "HEADER_SECONDS", 0.5)
    ours, theirs = pair
    time.sleep(0.6)
    theirs.sendall(b"hello")
    began = time.monotonic()
    assert ours.recv(3) == b"hel"
    assert ours.recv(100) == b"lo"
    assert ours.recv(100) == b""
    assert 0.5 <= time.monotonic() - began < 5


def test_a_drip_does_not_move_the_deadline(pair: tuple[ImpatientSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.deadline = time.monotonic() + 0.3
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.02):
            theirs.sendall(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        began = time.monotonic()
        while ours.recv(1):
            assert time.monotonic() - began < 5
    finally:
        over.set()
        dripping.join()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where a web server of ours listens."""
    port = free_port()
    environment = clean_environment(DATA_DIR=str(tmp_path), PORT=str(port), WEB_WORKERS="1")
    command = [sys.executable, "-m", "gunicorn", "-c", "python:usermanager.gunicorn_config", "usermanager.wsgi"]
    with running(command, environment, ready=""):
        eventually(lambda: _is_open(port))
        yield port


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def _seconds_until_it_hangs_up(port: int, begun: str) -> float:
    """How long a request may go on that is begun so and dripped from then on."""
    with socket.create_connection(("127.0.0.1", port), timeout=40) as connection:
        connection.sendall(begun.encode())
        began = time.monotonic()
        connection.settimeout(0.5)
        while True:
            try:
                connection.sendall(b"x")
                if not connection.recv(65536):
                    break
            except TimeoutError:
                assert time.monotonic() - began < 40
            except ConnectionError:
                break
        return time.monotonic() - began


def _answer_on(connection: socket.socket) -> bytes:
    connection.sendall(b"GET /health/live/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return connection.recv(65536)


@pytest.mark.process
def test_one_who_does_not_hang_up_after_the_answer_holds_nobody_up(port: int) -> None:
    with ExitStack() as stack:
        began = time.monotonic()
        for _each in range(3):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            assert _answer_on(connection).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < 2


@pytest.mark.process
def test_neither_half_a_header_nor_half_a_body_holds_a_thread_for_long(port: int) -> None:
    header = "POST /api/v1/auth/login/ HTTP/1.1\r\nHost: localhost\r\nX-Drip: "
    body = f"{header}x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    with ThreadPoolExecutor() as pool:
        waits = list(pool.map(lambda begun: _seconds_until_it_hangs_up(port, begun), [header, body]))
    for wait, limit in zip(waits, [HEADER_SECONDS, BODY_SECONDS], strict=True):
        assert limit - 1 < wait < limit + 4
