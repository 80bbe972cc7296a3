"""Starts programs of the product as forks of a process that has loaded its libraries.

Python and the libraries take 0.9 of the 1.1 processor seconds of a start. Each process of pytest has one template,
which starts with the first program and ends with the tests. Tests of the start itself use a new interpreter.
"""

import atexit
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Any

PR_SET_CHILD_SUBREAPER = 36
PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ("PATH", "HOME", "LANG", "PYTHONPATH")

_lock = Lock()


class Program:
    """A fork that runs a program of the product. Has those parts of subprocess.Popen that tests use."""

    def __init__(
        self,
        arguments: list[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: int | IO[Any],
        stderr: int | IO[Any],
        is_session: bool = False,
    ) -> None:
        description = {"arguments": arguments, "folder": str(cwd), "environment": dict(env), "is_session": is_session}
        description["umask"] = _umask()
        self.pid = _forked(json.dumps(description).encode(), _number(stdout), _number(stderr))
        self.returncode: int | None = None
        self._ended = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Returns the exit status, or None while the program runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._ended)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the program and returns its exit status. Raises TimeoutExpired after the time."""
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._ended, select.POLLIN)
            waiting.poll(None if timeout is None else timeout * 1000)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Sends the signal unless the program has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _umask() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask:")]
    return int(line.split()[1], 8)


def _number(file: int | IO[Any]) -> int:
    return file if isinstance(file, int) else file.fileno()


def _forked(request: bytes, stdout: int, stderr: int) -> int:
    """Sends the request to the template process. Returns the id of the program, which is a child of this process."""
    with _lock, open(os.devnull) as stdin:
        template = _template()  # the first program starts it
        _become_subreaper(True)
        try:
            socket.send_fds(template, [request], [stdin.fileno(), stdout, stderr])
            return int(template.recv(100))
        finally:
            _become_subreaper(False)


def _become_subreaper(is_one: bool) -> None:
    """Makes this process the parent of descendants whose parent ends, or no longer."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(is_one), 0, 0, 0):
        raise OSError("prctl() failed")


@cache
def _template() -> socket.socket:
    """Starts the template process and returns the socket for its requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    command = [sys.executable, "-m", "tests.usermanager.template_program", str(theirs.fileno())]
    with theirs, open(os.devnull) as nothing:
        files = [theirs.fileno()]
        template = subprocess.Popen(command, cwd=PROJECT, env=kept, stdin=nothing, stdout=nothing, pass_fds=files)
    atexit.register(_end, template)
    return ours


def _end(template: subprocess.Popen[bytes]) -> None:
    template.terminate()
    template.wait()
