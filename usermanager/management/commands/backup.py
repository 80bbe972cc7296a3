"""manage.py backup: writes everything that a new machine needs into one file, while the product runs."""

import os
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from accounts.management.base import ExampleCommand

# In DATA_DIR, besides the database, which has the emails:
STATE = ("secret_key", "keys", "encryption_keys", "templates")


class Command(ExampleCommand):
    help = (
        "Writes a consistent copy of the SQLite database, the keys and your templates into a compressed tar archive. "
        "The product can keep running. docs/backup.md explains how to restore it."
    )
    example = "backup /backups/usermanager.tar.gz"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", metavar="FILE", type=Path, help="the archive to write; an existing file is replaced"
        )

    def handle(self, *_arguments: Any, file: Path, **_options: Any) -> None:
        if not settings.IS_SQLITE:
            raise CommandError(
                "This command copies SQLite only. For PostgreSQL, use pg_dump and keep DATA_DIR: see docs/backup.md."
            )
        try:
            _write(file)
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror or error}.") from error
        self.stdout.write(f"{file} contains secrets: keep it where only you can read it.")
        if not (settings.DATA_DIR / "secret_key").exists():
            self.stdout.write("It does not contain SECRET_KEY, which comes from the environment: keep that, too.")
        if settings.ENCRYPTION_KEYS:
            self.stdout.write("It does not contain ENCRYPTION_KEYS, which comes from the environment: keep that, too.")


def _write(file: Path) -> None:
    """Writes the archive under a temporary name, and renames it once it is complete and on the disk.

    Only its owner can read it.
    """
    with TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as folder:
        copy, draft = Path(folder) / Path(settings.DATABASE_FILE).name, Path(folder) / "archive"
        _copy_database(copy)
        with open(draft, "xb", opener=_open_private) as handle:
            with tarfile.open(fileobj=handle, mode="w:gz") as archive:
                archive.add(copy, copy.name, filter=_owner_only)
                for name in STATE:
                    if (settings.DATA_DIR / name).exists():
                        archive.add(settings.DATA_DIR / name, name, filter=_owner_only)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(file)


def _copy_database(target: Path) -> None:
    """Copies the database with SQLite's online backup, which is consistent while others write. Raises OSError."""
    source = f"file:{settings.DATABASE_FILE}?mode=ro"
    try:
        with closing(sqlite3.connect(source, uri=True)) as running, closing(sqlite3.connect(target)) as copy:
            running.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # a single file, without a journal
            damage = copy.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        raise OSError(f"the database cannot be copied ({error})") from error
    if damage != "ok":
        raise OSError(f"the copy of the database is damaged ({damage})")


def _owner_only(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Removes the modes of group and others. `tar` restores modes if root runs it."""
    member.mode &= 0o700
    return member


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
