"""Helpers for tests of real processes: start one, wait for a condition, list the living ones."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, TypeVar

from tests.usermanager import template_process
from tests.usermanager.template_process import Program

PROJECT = template_process.PROJECT
Process = Program | subprocess.Popen[bytes]
T = TypeVar("T")


def eventually(look: Callable[[], T], *, seconds: float = 20) -> T:
    """Calls `look` until it returns a true value, and returns that. Fails after the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{look} saw nothing within {seconds} s")


def is_alive(pid: int) -> bool:
    """Returns whether the process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> set[int]:
    """Returns the ids of all descendants of a process."""
    below: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            below |= {int(child)} | descendants(int(child))
    return below


def free_port() -> int:
    """Returns a port below those that the kernel gives to clients: a client could take one before the server starts."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def clean_environment(**changes: str) -> dict[str, str]:
    """Returns the variables that a program needs, without settings of the tests or of the developer."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "ENV_FILE": os.devnull, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **changes}


def manage(*arguments: str, cwd: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs manage.py to its end."""
    command = [str(PROJECT / "manage.py"), *arguments]
    env = clean_environment(**environment)
    with _pipe() as (printed, stdout), _pipe() as (errors, stderr), ThreadPoolExecutor(2) as pool:
        with stdout, stderr:
            program = start(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr)
        reading = [pool.submit(file.read) for file in (printed, errors)]
        try:
            status = program.wait(180)
        finally:
            program.kill()
        return subprocess.CompletedProcess(command, status, *(read.result() for read in reading))


@contextmanager
def _pipe() -> Iterator[tuple[IO[str], IO[str]]]:
    """Yields the ends of a pipe, the one to read from first. The caller closes the other."""
    reading, writing = os.pipe()
    with open(reading) as output, open(writing, "w") as file:
        yield output, file


def create_tables(folder: Path) -> None:
    """Creates DATA_DIR with an SQLite database that has all tables and no user, as `manage.py migrate` leaves it, and
    with the secret key, as a migration seals the audit trail with it.

    The first call in a process migrates and the others copy: the migrations take longer than all else in a start.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in _migrated().items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(content)


@cache
def _migrated() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        ended = manage("migrate", DATA_DIR=folder)
        assert ended.returncode == 0, ended.stderr
        return {name: Path(folder, name).read_bytes() for name in ("usermanager.sqlite3", "secret_key")}


def start(
    command: list[str],
    *,
    env: Mapping[str, str],
    stdout: IO[Any],
    stderr: IO[Any],
    cwd: Path = PROJECT,
    is_session: bool = False,
) -> Process:
    """Starts a program. `manage.py …` and `-m …` run in a fork of the template process, and all else as it is: tests of
    the start itself name the interpreter, too."""
    if command[0] == "-m" or command[0].endswith("manage.py"):
        return Program(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr, is_session=is_session)
    return subprocess.Popen(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr, start_new_session=is_session)


class Running:
    """A process, and its output so far."""

    def __init__(self, process: Process, output: IO[str]) -> None:
        self.process = process
        self.pid = process.pid
        self.output = output
        self.printed = ""

    def read_until(self, text: str) -> None:
        while text not in self.printed:
            line = self.output.readline()
            assert line, f"ended before it printed {text!r}:\n{self.printed}"
            self.printed += line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal and returns the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = 20) -> int:
        """Waits for the end of the process and returns its exit status."""
        return self.process.wait(seconds)


@contextmanager
def running(command: list[str], environment: Mapping[str, str], ready: str) -> Iterator[Running]:
    """Starts a process and waits until it prints `ready`. At the end, kills it and its descendants."""
    with _pipe() as (output, file):
        with file:
            process = start(command, env=environment, stdout=file, stderr=file)
        known: set[int] = set()
        try:
            started = Running(process, output)
            started.read_until(ready)
            known = descendants(process.pid)
            yield started
        finally:
            for pid in {process.pid} | known | descendants(process.pid):
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
