"""The supervisor restarts processes that die, and leaves none behind."""

import os
import pty
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.usermanager.processes import (
    PROJECT,
    Running,
    clean_environment,
    descendants,
    eventually,
    is_alive,
    running,
)

pytestmark = pytest.mark.process


@pytest.fixture(params=["command", "fork"])
def supervisor(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    command = ["-m", "tests.usermanager.supervisor_program", str(tmp_path), request.param]
    with running(command, clean_environment(), ready="ready") as process:
        eventually((tmp_path / "parent-child").exists)
        yield process


def pid_of(folder: Path, name: str) -> int:
    return int(eventually((folder / name).read_text))


def test_a_killed_process_is_restarted(supervisor: Running, tmp_path: Path) -> None:
    first = pid_of(tmp_path, "single")
    os.kill(first, signal.SIGKILL)
    second = eventually(lambda: pid if (pid := pid_of(tmp_path, "single")) != first else 0)
    assert is_alive(second)
    assert supervisor.process.poll() is None


def test_the_children_of_a_killed_process_are_killed(supervisor: Running, tmp_path: Path) -> None:
    grandchild = pid_of(tmp_path, "parent-child")
    os.kill(pid_of(tmp_path, "parent"), signal.SIGKILL)
    eventually(lambda: not is_alive(grandchild))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_processes(supervisor: Running, number: signal.Signals) -> None:
    below = descendants(supervisor.pid)
    assert len(below) == 3
    assert supervisor.stop(number) == 0
    assert not any(map(is_alive, below))


def test_kill_9_of_the_supervisor_ends_its_processes(supervisor: Running, tmp_path: Path) -> None:
    leaders = [pid_of(tmp_path, "single"), pid_of(tmp_path, "parent")]
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, leaders)))


def test_a_signal_of_the_terminal_reaches_the_supervisor_alone(supervisor: Running, tmp_path: Path) -> None:
    groups = {os.getpgid(pid) for pid in descendants(supervisor.pid)}
    assert groups == {pid_of(tmp_path, "single"), pid_of(tmp_path, "parent")}


def test_all_processes_stay_in_the_session_of_the_supervisor(supervisor: Running) -> None:
    assert {os.getsid(pid) for pid in descendants(supervisor.pid)} == {os.getsid(supervisor.pid)}


def has_terminal(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] != "0"


@pytest.mark.parametrize("kind", ["command", "fork"])
def test_only_the_supervisor_has_a_terminal(tmp_path: Path, kind: str) -> None:
    """With `stty tostop`, a terminal stops processes that write to it from the background."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(PROJECT)
        command = [sys.executable, "-m", "tests.usermanager.supervisor_program", str(tmp_path), kind]
        os.execve(sys.executable, command, clean_environment())  # noqa: S606 - the fork with the terminal
    try:
        eventually((tmp_path / "parent-child").exists)
        below = descendants(pid)
        assert (has_terminal(pid), len(below)) == (True, 3)
        assert not any(map(has_terminal, below))
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(terminal)
