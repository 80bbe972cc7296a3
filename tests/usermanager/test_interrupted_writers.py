"""A command that Ctrl-C interrupts while it waits for the write lock can still write."""

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.usermanager.test_write_lock import FORK, PATIENCE, hold, is_free
from usermanager.sqlite import write_lock


@pytest.mark.parametrize("holder", ["thread", "process"])
def test_an_interrupted_wait_ends(tmp_path: Path, holder: str) -> None:
    """Otherwise a command that Ctrl-C interrupts could not write how far it came."""
    path = str(tmp_path / "db.sqlite3")
    lock, process = write_lock.of(path), None
    if holder == "thread":
        assert lock.acquire(0)
    else:
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=hold, args=(path, theirs))
        process.start()
        ours.recv()
    timer = threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        lock.acquire(PATIENCE)
    assert time.monotonic() - started < PATIENCE  # the signal ended the wait
    if process is None:
        lock.release()
    else:
        ours.send("enough")
        process.join()
    assert lock.acquire(0)
    lock.release()
    assert is_free(path)
