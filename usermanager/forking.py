"""Runs functions in forks of this process, which share the memory of all that it has loaded.

The process that forks must have no threads and no database connections: a fork has only the thread that forked, and
two processes can't use one connection.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

PR_SET_PDEATHSIG = 1
# The signals that the supervisor handles.
HANDLED = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGINT)
T = TypeVar("T")

_context = multiprocessing.get_context("fork")


class ForkedProcess:
    """A fork that runs a function. Has those parts of subprocess.Popen that the supervisor uses."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._process = _context.Process(target=_run, args=(run, os.getpid()))
        # A signal that reaches the fork before _run() has removed the supervisor's handlers waits.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0.0)
        return self._process.exitcode


def result_of(function: Callable[[], T]) -> T:
    """Returns what the function returns in a fork, or raises what it raises there, with a note of its traceback."""
    receiver, sender = _context.Pipe(duplex=False)
    process = ForkedProcess(lambda: _send_result(function, sender))
    sender.close()
    try:
        is_error, result = receiver.recv()
    except EOFError:  # the fork was killed
        raise SystemExit(abs(process.wait())) from None
    finally:
        receiver.close()
        process.wait()
    if is_error:
        raise result
    return result  # type: ignore[no-any-return]


def _send_result(function: Callable[[], Any], sender: Connection) -> None:
    try:
        outcome = (False, function())
    except Exception as error:  # noqa: BLE001 - the process that forked raises it
        error.add_note("".join(traceback.format_tb(error.__traceback__)))  # the traceback itself can't be sent
        outcome = (True, error)
    sender.send(outcome)


def _run(run: Callable[[], object], parent: int) -> None:
    """Removes what the supervisor does on a signal, and runs the function. On Linux, the fork ends with its parent."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was killed meanwhile
        os._exit(1)
    run()
