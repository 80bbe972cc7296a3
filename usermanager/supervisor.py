"""Runs several processes as one: starts them, restarts a process that dies, and ends all of them."""

import ctypes
import fcntl
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from usermanager.forking import PR_SET_PDEATHSIG, ForkedProcess

FIRST_BACK_OFF_SECONDS = 0.5
MAX_BACK_OFF_SECONDS = 30.0
STABLE_AFTER_SECONDS = 30.0
POLL_SECONDS = 0.05
STOP_SECONDS = 30.0
PR_SET_NAME = 15

log = logging.getLogger(__name__)


class ProcessFailed(Exception):
    """A process ended before it was ready, or was not ready in time."""


@dataclass
class SupervisedProcess:
    """A program that the supervisor keeps running. `is_ready` is called until it returns True once.

    `program` is a command, or a function that runs in a fork of the supervisor and shares the memory of what it loaded.
    """

    name: str
    program: Sequence[str] | Callable[[], object]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[int] = ()
    is_essential: bool = True
    popen: subprocess.Popen[bytes] | ForkedProcess | None = None
    was_ready: bool = False
    started_at: float = 0.0
    restart_at: float = 0.0
    back_off_seconds: float = FIRST_BACK_OFF_SECONDS

    def start(self, folder: Path) -> None:
        """Starts the program in its own process group, but not in its own session.

        Only the supervisor gets the Ctrl-C of the terminal, and ends its processes in order. The signal would also end
        the Celery worker's child processes in the middle of a task. Linux divides the cores between sessions first
        (sched(7), autogroup), so in its own session even low-priority hashing would slow down the other processes.
        """
        self.started_at = time.monotonic()
        if callable(self.program):
            self.popen = ForkedProcess(self._prepared(self.program))
            return
        self.popen = subprocess.Popen(
            self.program,
            cwd=folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            pass_fds=self.files,
            process_group=0,
            preexec_fn=_before_program(os.getpid()),  # noqa: PLW1509 - the supervisor has no threads
        )

    def _prepared(self, run: Callable[[], object]) -> Callable[[], object]:
        """Returns a function that prepares its process as start() does for a command, and runs."""

        def run_prepared() -> None:
            os.setpgid(0, 0)
            if sys.platform.startswith("linux"):
                _leave_terminal()
                # For ps and top, which would show the supervisor's command.
                ctypes.CDLL(None).prctl(PR_SET_NAME, self.name.encode())
            os.environ.update(self.environment)
            run()

        return run_prepared

    def has_ended(self) -> bool:
        return self.popen is not None and self.popen.poll() is not None

    def terminate(self) -> None:
        """Sends SIGTERM to the leader of the group alone, so that it can finish its work."""
        if self.popen and self.popen.poll() is None:
            self.popen.terminate()

    def kill_group(self) -> None:
        """Kills all processes of the group, after its leader has ended or took too long."""
        if self.popen:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()
            self.popen = None


class Supervisor:
    """The processes of one `serve`, and the signals that end it."""

    def __init__(self, processes: Sequence[SupervisedProcess], folder: Path) -> None:
        self.processes = processes
        self.folder = folder
        self.is_stopping = False
        self._wake, self._waker = socket.socketpair()

    def start(self) -> None:
        for end in (self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it wakes the supervisor
        for process in self.processes:
            process.start(self.folder)

    def wait_until_ready(self, *, seconds: float, optional_seconds: float) -> bool:
        """Returns True when all essential processes are ready. Waits at most `optional_seconds` for the others.

        Returns False if a signal came first. Raises ProcessFailed if a process ends before it was ready, or if an
        essential one is not ready within `seconds`.
        """
        begin = time.monotonic()
        while not self.is_stopping:
            waiting = [process for process in self.processes if not self._update_readiness(process)]
            elapsed = time.monotonic() - begin
            essential = [process for process in waiting if process.is_essential]
            if not waiting or (not essential and elapsed > optional_seconds):
                return True
            if essential and elapsed > seconds:
                raise ProcessFailed(f"The {essential[0].name} was not ready within {seconds:.0f} seconds.")
            self._sleep(POLL_SECONDS)
        return False

    def run(self) -> None:
        """Restarts processes that die, until a signal comes."""
        while not self.is_stopping:
            for process in self.processes:
                self._restart_if_ended(process)
            pauses = [process.restart_at - time.monotonic() for process in self.processes if process.popen is None]
            self._sleep(max(min(pauses, default=60.0), 0.0))

    def stop(self) -> None:
        """Lets all processes finish their work within STOP_SECONDS, then kills the remaining ones."""
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            if process.popen:
                try:
                    process.popen.wait(max(deadline - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    log.warning("The %s did not stop in time and was killed.", process.name)
            process.kill_group()

    def _update_readiness(self, process: SupervisedProcess) -> bool:
        if process.has_ended():
            assert process.popen
            raise ProcessFailed(f"The {process.name} ended with status {process.popen.returncode} while starting.")
        process.was_ready = process.was_ready or process.is_ready()
        return process.was_ready

    def _restart_if_ended(self, process: SupervisedProcess) -> None:
        now = time.monotonic()
        if process.has_ended():
            assert process.popen
            if now - process.started_at > STABLE_AFTER_SECONDS:
                process.back_off_seconds = FIRST_BACK_OFF_SECONDS
            pause, status = process.back_off_seconds, process.popen.wait()
            reason = signal.Signals(-status).name if status < 0 else f"status {status}"
            log.error("The %s ended (%s); it restarts in %.1f s.", process.name, reason, pause)
            process.restart_at = now + pause
            process.back_off_seconds = min(pause * 2, MAX_BACK_OFF_SECONDS)
            process.kill_group()
        elif process.popen is None and now >= process.restart_at:
            process.start(self.folder)

    def _stop(self, *_: object) -> None:
        self.is_stopping = True

    def _sleep(self, seconds: float) -> None:
        """Sleeps until a signal comes, or until the time is over."""
        if select.select([self._wake], [], [], seconds)[0]:
            self._wake.recv(4096)


def _before_program(parent: int) -> Callable[[], None] | None:
    """Returns a function that prepares the child process on Linux, between fork and exec.

    The kernel ends the child if the supervisor is killed.
    """
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        _leave_terminal()
        if os.getppid() != parent:  # the supervisor was killed meanwhile
            os._exit(1)

    return prepare


def _leave_terminal() -> None:
    """Makes a background process lose its terminal: with `stty tostop`, writing to it would stop the process."""
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
        os.close(terminal)
