"""What tests of real processes share: starting one, waiting for something, and who is still there."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

PROJECT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def eventually(look: Callable[[], T], *, seconds: float = 20) -> T:
    """The first true thing that `look` returns within the time; fails when there is none."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{look} saw nothing within {seconds} s")


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be counted by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> set[int]:
    """All processes below this one."""
    below: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            below |= {int(child)} | descendants(int(child))
    return below


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**changes: str) -> dict[str, str]:
    """Only what a program needs to run: no setting of the tests, none of the person who runs them."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "ENV_FILE": os.devnull, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **changes}


def manage(*arguments: str, cwd: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs manage.py to its end."""
    command = [sys.executable, str(PROJECT / "manage.py"), *arguments]
    env = clean_environment(**environment)
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


class Running:
    """A process and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid
        self.printed = ""

    def read_until(self, text: str) -> None:
        assert self.process.stdout
        while text not in self.printed:
            line = self.process.stdout.readline()
            assert line, f"ended before it printed {text!r}:\n{self.printed}"
            self.printed += line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal and returns the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = 20) -> int:
        """Waits for its end and returns the exit status."""
        return self.process.wait(seconds)


@contextmanager
def running(command: list[str], environment: Mapping[str, str], ready: str) -> Iterator[Running]:
    """A process that has printed `ready`; killed with all that is below it at the end."""
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    known: set[int] = set()
    try:
        started = Running(process)
        started.read_until(ready)
        known = descendants(process.pid)
        yield started
    finally:
        for pid in {process.pid} | known | descendants(process.pid):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()
