"""Makes the folder in which the processes count for Prometheus: in memory, where the system has a place for that.

The client maps its files into memory. On a full disk, to touch a new page of one ends the process with SIGBUS, and the
next process, too, so that a web server would not come up until there is room again.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MEMORY = "/dev/shm"  # noqa: S108 - what is made in it is for its owner alone
PARENT = Path(_MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else tempfile.gettempdir())
PREFIX = "usermanager-metrics-"
YOUNG_SECONDS = 60.0  # one that was made just now may not be locked yet


@contextmanager
def made() -> Iterator[str]:
    folder = create()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create() -> str:
    """A new one, which this process locks until it ends. Removes those of processes that were killed."""
    for known in PARENT.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is locked, is another user's, or is gone
            _remove_if_left(known)
    folder = tempfile.mkdtemp(dir=PARENT, prefix=PREFIX)
    _lock(Path(folder))
    return folder


def _remove_if_left(folder: Path) -> None:
    if time.time() - folder.stat().st_mtime > YOUNG_SECONDS:
        os.close(_lock(folder))
        shutil.rmtree(folder)


def _lock(folder: Path) -> int:
    """The handle, which holds the lock until it is closed, by the kernel at the latest. Raises BlockingIOError."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    return handle
