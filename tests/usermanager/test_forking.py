"""Functions that run in forks of a process."""

import os
import signal
import subprocess
import sys
import time

import pytest

from accounts.models.identifiers import new_id
from tests.usermanager.processes import eventually
from usermanager import forking


def test_the_result_of_a_fork_is_returned() -> None:
    assert forking.result_of(os.getppid) == os.getpid()


def test_the_error_of_a_fork_is_raised() -> None:
    def fail() -> None:
        raise LookupError("not here")

    with pytest.raises(LookupError, match="not here") as error:
        forking.result_of(fail)
    assert "in fail\n" in error.value.__notes__[0]


def test_a_killed_fork_ends_the_process() -> None:
    with pytest.raises(SystemExit) as error:
        forking.result_of(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert error.value.code == signal.SIGKILL


def test_forks_create_different_ids() -> None:
    """They would create the same ones if they shared the state of a random generator."""
    new_id()
    ids = [forking.result_of(new_id) for _fork in range(5)]
    assert len({one.int & (1 << 62) - 1 for one in ids}) == len(ids)


@pytest.mark.process
def test_a_fork_ends_with_its_parent() -> None:
    """Otherwise a `serve` that is killed while it migrates would leave a process that keeps its port."""
    program = (
        "import os, time; from usermanager import forking;"
        "forking.result_of(lambda: (print(os.getpid(), flush=True), time.sleep(60)))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        fork = int(parent.stdout.readline())
        assert os.path.exists(f"/proc/{fork}")
        parent.terminate()
    eventually(lambda: not os.path.exists(f"/proc/{fork}"))


@pytest.mark.process
def test_a_signal_that_comes_at_once_ends_the_fork() -> None:
    """The fork has the handlers of its parent for a moment. They must not swallow the signal."""
    signalled: list[bool] = []

    def signal_a_fork() -> None:
        if signalled:
            os.kill(os.getpid(), signal.SIGTERM)

    os.register_at_fork(after_in_child=signal_a_fork)
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        signalled.append(True)
        process = forking.ForkedProcess(lambda: time.sleep(60))
        assert process.wait(20) == -signal.SIGTERM
    finally:
        signalled.clear()
        signal.signal(signal.SIGTERM, previous)
