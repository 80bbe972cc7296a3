"""Runs several processes as one: starts them, restarts what dies, and leaves none behind."""

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

FIRST_BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 30.0
SETTLED_AFTER_SECONDS = 30.0
TICK_SECONDS = 0.05
STOP_SECONDS = 30.0
PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


class ChildFailed(Exception):
    """A child ended before it was ready."""


@dataclass
class Child:
    """A program that is kept running. Its readiness is asked for only until it was ready once."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[int] = ()
    is_essential: bool = True
    process: subprocess.Popen[bytes] | None = None
    was_ready: bool = False
    started_at: float = 0.0
    restart_at: float = 0.0
    back_off_seconds: float = FIRST_BACK_OFF_SECONDS

    def start(self, folder: Path) -> None:
        """In a process group of its own: Ctrl-C in the terminal reaches the supervisor alone, which then ends its
        children in order. The worker's own children must not get the signal at all, it would end them in the middle of
        a task. Not in a session of its own: Linux shares the cores out between sessions first (sched(7), autogroup), so
        that hashing, however low its priority, would slow down whatever is in another one.
        """
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            cwd=folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            pass_fds=self.files,
            process_group=0,
            preexec_fn=_bound_to(os.getpid()),  # noqa: PLW1509 - the supervisor has no threads
        )

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def end(self) -> None:
        """Asks the leader alone to finish what it is doing."""
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def sweep(self) -> None:
        """Kills what is left of the group once its leader is gone, or when it took too long."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class Supervisor:
    """The children of one `serve`, and the signals that end it."""

    def __init__(self, children: Sequence[Child], folder: Path) -> None:
        self.children = children
        self.folder = folder
        self.is_stopping = False
        self._wake, self._waker = socket.socketpair()

    def start(self) -> None:
        for end in (self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only so that it wakes us
        for child in self.children:
            child.start(self.folder)

    def wait_until_ready(self, *, seconds: float, patience_seconds: float) -> bool:
        """Whether all that is essential runs; the rest is waited for no longer than `patience_seconds`.

        Raises ChildFailed when a child ends before it was ready, or an essential one takes too long.
        """
        begin = time.monotonic()
        while not self.is_stopping:
            waiting = [child for child in self.children if not self._is_up(child)]
            elapsed = time.monotonic() - begin
            essential = [child for child in waiting if child.is_essential]
            if not waiting or (not essential and elapsed > patience_seconds):
                return True
            if essential and elapsed > seconds:
                raise ChildFailed(f"The {essential[0].name} was not ready within {seconds:.0f} seconds.")
            self._sleep(TICK_SECONDS)
        return False

    def run(self) -> None:
        """Keeps the children alive until a signal asks to stop."""
        while not self.is_stopping:
            for child in self.children:
                self._mend(child)
            pauses = [child.restart_at - time.monotonic() for child in self.children if child.process is None]
            self._sleep(max(min(pauses, default=60.0), 0.0))

    def stop(self) -> None:
        """Lets every child finish what it is doing, for a bounded time; then none is left."""
        deadline = time.monotonic() + STOP_SECONDS
        for child in self.children:
            child.end()
        for child in self.children:
            if child.process:
                try:
                    child.process.wait(max(deadline - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    log.warning("The %s did not stop in time and was killed.", child.name)
            child.sweep()

    def _is_up(self, child: Child) -> bool:
        if child.has_ended():
            assert child.process
            raise ChildFailed(f"The {child.name} ended with status {child.process.returncode} while starting.")
        child.was_ready = child.was_ready or child.is_ready()
        return child.was_ready

    def _mend(self, child: Child) -> None:
        now = time.monotonic()
        if child.has_ended():
            assert child.process
            if now - child.started_at > SETTLED_AFTER_SECONDS:
                child.back_off_seconds = FIRST_BACK_OFF_SECONDS
            pause = child.back_off_seconds
            log.error("The %s ended (%s); again in %.1f s.", child.name, _reason(child.process.returncode), pause)
            child.restart_at = now + pause
            child.back_off_seconds = min(pause * 2, LONGEST_BACK_OFF_SECONDS)
            child.sweep()
        elif child.process is None and now >= child.restart_at:
            child.start(self.folder)

    def _stop(self, *_: object) -> None:
        self.is_stopping = True

    def _sleep(self, seconds: float) -> None:
        """Until a signal comes, at the longest."""
        if select.select([self._wake], [], [], seconds)[0]:
            self._wake.recv(4096)


def _reason(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def _bound_to(parent: int) -> Callable[[], None] | None:
    """On Linux, ends the child when the supervisor is killed without a chance to do it, and takes its terminal away."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def before_the_program() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        with suppress(OSError):  # `stty tostop` would stop who writes to the terminal from the background
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
            fcntl.ioctl(terminal, termios.TIOCNOTTY)
            os.close(terminal)
        if os.getppid() != parent:  # it was killed in the meantime
            os._exit(1)

    return before_the_program
