"""A bounded number of threads answers the requests, and a thread takes the next one itself."""

import os
import threading
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import ThreadWorker

from tests.usermanager.processes import eventually
from usermanager.web_server.answering_threads import AnsweringThreads
from usermanager.web_server.client_shares import MAX_QUEUED_PER_NETWORK, Networks, RequestQueue
from usermanager.web_server.idle_connections import IdleConnections
from usermanager.web_server.worker import Worker

HOME: Networks = ((32, "home"),)
OFFICE: Networks = ((32, "office"),)


class Answers:
    """Answers each request when the test lets it."""

    def __init__(self, threads: int = 4, per_network: int = 2) -> None:
        self.begun: list[str] = []
        self.given_back: list[tuple[str, bool]] = []
        self.thread_of: dict[str, threading.Thread] = {}
        self._may_end: dict[str, threading.Event] = {}
        self.threads = AnsweringThreads(RequestQueue(threads, per_network), self._answer, self._give_back)

    def add(self, name: str, networks: Networks = HOME) -> Any:
        self._may_end[name] = threading.Event()
        conn = SimpleNamespace(name=name)
        conn.is_queued = self.threads.add(conn, networks)
        return conn

    def end(self, *names: str) -> None:
        for name in names:
            eventually(partial(self.begun.__contains__, name))
            self._may_end[name].set()
            eventually(partial(self.given_back.__contains__, (name, True)))

    def _answer(self, conn: Any) -> bool:
        self.thread_of[conn.name] = threading.current_thread()
        self.begun.append(conn.name)
        assert self._may_end[conn.name].wait(10)
        return True

    def _give_back(self, conn: Any, keeps_alive: bool) -> None:
        self.given_back.append((conn.name, keeps_alive))


def test_a_thread_takes_the_next_request_itself_and_an_idle_one_is_used_again() -> None:
    answers = Answers()
    for number in range(5):
        answers.add(f"{number}")
    eventually(lambda: sorted(answers.begun) == ["0", "1"])
    answers.end("0", "1", "2", "3", "4")
    assert len(set(answers.thread_of.values())) == 2
    answers.add("later")
    answers.end("later")
    assert len(set(answers.thread_of.values())) == 2
    answers.threads.shutdown(wait=False)


def test_a_request_that_waits_for_a_hash_lets_one_other_request_of_its_network_run() -> None:
    answers = Answers(threads=4, per_network=1)
    waiting = answers.add("0")
    for number in range(1, 4):
        answers.add(f"{number}")
    answers.threads.release_turn(waiting)
    answers.threads.release_turn(waiting)
    eventually(lambda: sorted(answers.begun) == ["0", "1"])
    answers.add("office", OFFICE)
    answers.end("office", "0")
    assert sorted(answers.begun) == ["0", "1", "office"]
    answers.end("1", "2", "3")
    answers.threads.shutdown(wait=False)


def test_a_full_queue_rejects_a_request() -> None:
    answers = Answers(threads=1, per_network=1)
    taken = [answers.add(f"{number}").is_queued for number in range(MAX_QUEUED_PER_NETWORK + 2)]
    assert taken == [True] * (MAX_QUEUED_PER_NETWORK + 1) + [False]
    answers.end(*(f"{number}" for number in range(MAX_QUEUED_PER_NETWORK + 1)))
    answers.threads.shutdown(wait=False)


def test_threads_end_once_they_have_answered() -> None:
    answers = Answers()
    answers.add("idle")
    answers.end("idle")
    answers.add("busy")
    answers.add("second")
    answers.end("busy")
    answers.threads.shutdown(wait=False)
    answers.end("second")
    for thread in answers.thread_of.values():
        thread.join(10)
        assert not thread.is_alive()


def test_idle_connections_are_in_the_order_in_which_they_became_idle() -> None:
    idle = IdleConnections()
    for name in ("a", "b", "c", "d"):
        idle.append(name)
    idle.discard("b")
    idle.discard("unknown")
    assert (len(idle), idle[0], list(idle)) == (3, "a", ["a", "c", "d"])
    idle.popleft()
    assert list(idle) == ["c", "d"]


def test_a_worker_that_fails_ends_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python waits for them before it exits: gunicorn would replace the worker only after its timeout."""
    worker, answers = Worker(1, os.getpid(), [], None, 30, Config(), None), Answers()
    worker.threads = answers.threads

    def fail(_worker: Worker) -> None:
        answers.add("only")
        answers.end("only")
        raise OSError("too many open files")

    monkeypatch.setattr(ThreadWorker, "init_process", fail)
    with pytest.raises(OSError, match="too many open files"):
        worker.init_process()
    eventually(lambda: not answers.thread_of["only"].is_alive())
