"""A client that sends slowly is at its end when its time is over, however many bytes it still drips."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from usermanager.web_worker import ImpatientSocket


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
