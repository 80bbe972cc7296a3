"""The supervisor: what dies comes back, and nothing stays behind."""

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


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.usermanager.supervised", str(tmp_path)]
    with running(command, clean_environment(), ready="ready") as process:
        eventually((tmp_path / "parent-child").exists)
        yield process


def pid_of(folder: Path, name: str) -> int:
    return int(eventually((folder / name).read_text))


def test_a_child_that_is_killed_comes_back(supervisor: Running, tmp_path: Path) -> None:
    first = pid_of(tmp_path, "single")
    os.kill(first, signal.SIGKILL)
    second = eventually(lambda: pid if (pid := pid_of(tmp_path, "single")) != first else 0)
    assert is_alive(second)
    assert supervisor.process.poll() is None


def test_the_children_of_a_killed_child_go_before_it_comes_back(supervisor: Running, tmp_path: Path) -> None:
    grandchild = pid_of(tmp_path, "parent-child")
    os.kill(pid_of(tmp_path, "parent"), signal.SIGKILL)
    eventually(lambda: not is_alive(grandchild))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(supervisor: Running, number: signal.Signals) -> None:
    below = descendants(supervisor.pid)
    assert len(below) == 3
    assert supervisor.stop(number) == 0
    assert not any(map(is_alive, below))


def test_kill_9_of_the_supervisor_leaves_no_child(supervisor: Running, tmp_path: Path) -> None:
    leaders = [pid_of(tmp_path, "single"), pid_of(tmp_path, "parent")]
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, leaders)))


def test_a_signal_of_the_terminal_reaches_the_supervisor_alone(supervisor: Running, tmp_path: Path) -> None:
    groups = {os.getpgid(pid) for pid in descendants(supervisor.pid)}
    assert groups == {pid_of(tmp_path, "single"), pid_of(tmp_path, "parent")}


def test_what_it_starts_shares_the_cores_as_one_session(supervisor: Running) -> None:
    assert {os.getsid(pid) for pid in descendants(supervisor.pid)} == {os.getsid(supervisor.pid)}


def has_terminal(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] != "0"


def test_a_terminal_is_the_supervisors_alone(tmp_path: Path) -> None:
    """It could stop whoever writes to it from the background: `stty tostop`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(PROJECT)
        command = [sys.executable, "-m", "tests.usermanager.supervised", str(tmp_path)]
        os.execve(sys.executable, command, clean_environment())  # noqa: S606 - the fork that has the terminal
    try:
        eventually((tmp_path / "parent-child").exists)
        below = descendants(pid)
        assert (has_terminal(pid), len(below)) == (True, 3)
        assert not any(map(has_terminal, below))
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        os.close(terminal)
