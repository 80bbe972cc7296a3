"""Creates the folder of the metrics files that all processes share, in /dev/shm if the system has it.

Prometheus' client maps its files into memory. On a full disk, writing to a new page of a file ends the process with
SIGBUS. A restarted web server would end the same way until the disk has space again.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MEMORY = "/dev/shm"  # noqa: S108 - only the owner can read the folder in it
PARENT = Path(_MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else tempfile.gettempdir())
PREFIX = "usermanager-metrics-"
YOUNG_SECONDS = 60.0  # a folder that was created just now may not be locked yet


@contextmanager
def temporary() -> Iterator[str]:
    """Creates a folder, and removes it at the end."""
    folder = create()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create() -> str:
    """Creates a folder, which this process locks until it ends. Removes the folders of processes that were killed."""
    for known in PARENT.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is locked, belongs to another user, or no longer exists
            _remove_if_abandoned(known)
    folder = tempfile.mkdtemp(dir=PARENT, prefix=PREFIX)
    _lock(Path(folder))
    return folder


def _remove_if_abandoned(folder: Path) -> None:
    if time.time() - folder.stat().st_mtime > YOUNG_SECONDS:
        os.close(_lock(folder))
        shutil.rmtree(folder)


def _lock(folder: Path) -> int:
    """Locks the folder and returns a file descriptor. Closing it, or the end of the process, releases the lock.

    Raises BlockingIOError if another process holds the lock.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    return handle
