"""Runs actions at the same time, each with a database connection of its own: in threads, or in processes.

Writers of one process wait for each other in a queue before SQLite sees them, so on SQLite the racers are processes.
On PostgreSQL each connection is a process of the server already.
"""

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django.db import connections
from django.test import override_settings

from accounts.errors import AccountError

MOST = 16
TIMEOUT = 60  # seconds
Action = Callable[[], Any]  # a partial of functions and values that can be pickled


class Track(Protocol):
    def race(self, actions: Sequence[Action]) -> list[Any]:
        """Starts all actions together. Returns the result of each, or its AccountError. Raises any other error."""


@contextmanager
def threads() -> Iterator[Track]:
    """Yields racers that are threads. They keep their connections: opening one takes longer than a race."""
    with ThreadPoolExecutor(MOST) as pool:
        opened = _Threads(pool)
        try:
            yield opened
        finally:
            opened.race([connections.close_all] * MOST)


@contextmanager
def processes() -> Iterator[Track]:
    """Yields racers that are forks of this process, with its modules, settings and patches of this moment.

    Closes the connections of this process first: SQLite forbids a child to use those of its parent.
    """
    connections.close_all()
    line, start = os.pipe()
    context = multiprocessing.get_context("fork")
    ours: list[Connection] = []
    started = []
    for _number in range(MOST):
        parent, child = context.Pipe()
        ours.append(parent)
        started.append(context.Process(target=_run, args=(child, ours, start, line), daemon=True))
        started[-1].start()
        child.close()
    try:
        yield _Processes(ours, start)
    finally:
        for end in ours:
            end.close()
        for process in started:
            process.join(TIMEOUT)
        os.close(line)
        os.close(start)


class _Threads(NamedTuple):
    pool: ThreadPoolExecutor

    def race(self, actions: Sequence[Action]) -> list[Any]:
        barrier = threading.Barrier(len(actions), timeout=TIMEOUT)

        def run(action: Action) -> Any:
            barrier.wait()
            try:
                return action()
            except AccountError as error:
                return error

        return list(self.pool.map(run, actions))


class _Processes(NamedTuple):
    racers: list[Connection]
    start: int

    def race(self, actions: Sequence[Action]) -> list[Any]:
        racers = self.racers[: len(actions)]
        for racer, action in zip(racers, actions, strict=True):
            racer.send((_limits(), action))
        for racer in racers:
            _received(racer)  # it waits at the line
        os.write(self.start, bytes(len(racers)))
        return [_received(racer) for racer in racers]


class _Refusal(NamedTuple):
    """An AccountError. Pickle would call its class with the wrong arguments."""

    kind: type[AccountError]
    attributes: dict[str, Any]

    def error(self) -> AccountError:
        error = self.kind.__new__(self.kind)
        vars(error).update(self.attributes)
        return error


class _Crash(NamedTuple):
    text: str


def _limits() -> dict[str, Any]:
    """Returns the settings that tests change: the racers were forked before."""
    return {name: getattr(settings, name) for name in dir(settings) if name.startswith("RATE_")}


def _received(racer: Connection) -> Any:
    assert racer.poll(TIMEOUT), "a racer does not answer"
    result = racer.recv()
    if isinstance(result, _Crash):
        raise AssertionError(result.text)
    return result.error() if isinstance(result, _Refusal) else result


def _run(orders: Connection, of_parent: Sequence[Connection], start: int, line: int) -> None:
    """Runs actions until the parent closes its end, or dies."""
    os.close(start)
    for end in of_parent:  # as long as a child had a copy open, the others would not see the end
        end.close()
    while True:
        try:
            limits, action = orders.recv()
        except EOFError:
            return
        with override_settings(**limits):
            orders.send(None)
            os.read(line, 1)
            orders.send(_outcome(action))


def _outcome(action: Action) -> Any:
    try:
        return action()
    except AccountError as error:
        return _Refusal(type(error), vars(error))
    except Exception:  # noqa: BLE001 - the parent raises it
        return _Crash(traceback.format_exc())
