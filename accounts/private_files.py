"""Keeps the files in DATA_DIR readable by their owner alone, whatever the mode of the folder.

The settings set the umask, so that no process creates a file that others can read. This module repairs what older
versions left readable, and finds what is readable still.
"""

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from django.conf import settings

GROUP_OR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
OURS = ("secret_key", "keys", "mail", "templates", "hashing", "relay.sock")  # what the product keeps in DATA_DIR
BESIDE_A_DATABASE = ("", "-wal", "-shm", "-journal", ".lock")  # SQLite's own files, and that of the preparation

log = logging.getLogger(__name__)


def repair() -> None:
    """Takes the rights of group and others from the product's files and from those of an SQLite database.

    Leaves alone what the product did not put into DATA_DIR, and files of another owner: `check --deploy` names both.
    """
    for path, status in _below([settings.DATA_DIR / name for name in OURS] + _database_files()):
        if status.st_mode & GROUP_OR_OTHERS and status.st_uid == os.geteuid():
            try:
                path.chmod(stat.S_IMODE(status.st_mode) & ~GROUP_OR_OTHERS)
            except FileNotFoundError:
                continue
            except OSError as fault:  # such as a folder of templates that is mounted read-only
                log.warning("%s can be read by others, and its mode cannot be changed: %s", path, fault.strerror)


def readable() -> list[Path]:
    """Everything in DATA_DIR, and of the database, to which group or others have any right."""
    found = _below([*settings.DATA_DIR.iterdir(), *_database_files()])
    return sorted({path for path, status in found if status.st_mode & GROUP_OR_OTHERS})


def _database_files() -> list[Path]:
    if not settings.IS_SQLITE:
        return []
    file = Path(settings.DATABASE["NAME"])
    return [file.with_name(file.name + suffix) for suffix in BESIDE_A_DATABASE]


def _below(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """These paths and all that is in them. A link is not followed, as it may lead anywhere.

    What is in a folder that this user may not read, such as `lost+found`, is left out.
    """
    for path in paths:
        with suppress(FileNotFoundError, PermissionError):  # others may delete it meanwhile
            status = path.lstat()
            if not stat.S_ISLNK(status.st_mode):
                yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _below(path.iterdir())
