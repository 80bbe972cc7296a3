"""Makes the files in DATA_DIR readable by their owner only, even if other users may enter the folder.

The settings set the umask, so that no process creates a file that others can read. This module corrects the mode of
files that older versions created, and finds files that others can still read. It also writes files of secrets: no
process reads half of one, and a power failure loses none.
"""

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp

from django.conf import settings

GROUP_OR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
PRODUCT_FILES = (
    "secret_key",
    "keys",
    "encryption_keys",
    "mail",
    "templates",
    "hashing",
    "relay.sock",
)  # the product's own files in DATA_DIR
BESIDE_A_DATABASE = ("", "-wal", "-shm", "-journal", ".lock")  # SQLite's own files, and that of bootstrap_lock

log = logging.getLogger(__name__)


def repair() -> None:
    """Removes the permissions of group and others from the product's files and from those of an SQLite database.

    Skips files in DATA_DIR that aren't the product's, and files of another owner. `check --deploy` names both.
    """
    for path, status in _below([settings.DATA_DIR / name for name in PRODUCT_FILES] + _database_files()):
        if status.st_mode & GROUP_OR_OTHERS and status.st_uid == os.geteuid():
            try:
                path.chmod(stat.S_IMODE(status.st_mode) & ~GROUP_OR_OTHERS)
            except FileNotFoundError:
                continue
            except OSError as error:  # such as a folder of templates that is mounted read-only
                log.warning("Other users can read %s, and its mode can't be changed: %s", path, error.strerror)


def readable_by_others() -> list[Path]:
    """Returns the files in DATA_DIR and of the database on which group or others have any permission."""
    found = _below([*settings.DATA_DIR.iterdir(), *_database_files()])
    return sorted({path for path, status in found if status.st_mode & GROUP_OR_OTHERS})


def create_once(path: Path, content: bytes) -> None:
    """Creates the file unless it exists. Of several processes that create it at once, one writes its content."""
    if not path.exists():
        # Unlike a rename, a link never replaces the file that another process has just created.
        with _draft(path, content) as draft, suppress(FileExistsError):
            os.link(draft, path)
        sync_folder(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Creates the file or replaces its content. A process that reads it meanwhile gets the old or the new content."""
    with _draft(path, content) as draft:
        os.replace(draft, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the creation and removal of files survive a power failure. Without it, a new file could be lost, and a
    removed one come back."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """Writes the content to the disk, into a file beside `path` that its owner alone can read, and yields its path.

    Removes that file at the end, also after an error.
    """
    handle, name = mkstemp(dir=path.parent, prefix=f".{path.name}-")  # with mode 0600
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _database_files() -> list[Path]:
    if not settings.IS_SQLITE:
        return []
    file = Path(settings.DATABASE_FILE)
    return [file.with_name(file.name + suffix) for suffix in BESIDE_A_DATABASE]


def _below(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yields these paths and everything in them. Doesn't follow links, because they may lead anywhere.

    Skips folders that this user may not read, such as `lost+found`.
    """
    for path in paths:
        with suppress(FileNotFoundError, PermissionError):  # another process may delete it meanwhile
            status = path.lstat()
            if not stat.S_ISLNK(status.st_mode):
                yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _below(path.iterdir())
