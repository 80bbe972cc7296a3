"""manage.py backup: one file with all that a new machine needs, made while everything runs."""

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

STATE = ("secret_key", "keys", "templates")  # of DATA_DIR, beside the database; mails are in the database


class Command(ExampleCommand):
    help = (
        "Writes the SQLite database, as it is at one moment, with the keys and the operator's templates into a "
        "compressed tar archive. Nobody has to stop meanwhile. docs/backup.md tells how to restore."
    )
    example = "backup /backups/usermanager.tar.gz"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="the archive; one that is there is replaced")

    def handle(self, *_arguments: Any, file: Path, **_options: Any) -> None:
        if not settings.IS_SQLITE:
            raise CommandError("This copies SQLite; for PostgreSQL use pg_dump, and keep DATA_DIR: see docs/backup.md.")
        try:
            _write(file)
        except OSError as fault:
            raise CommandError(f"{file} cannot be written: {fault.strerror or fault}.") from fault
        self.stdout.write(f"{file} holds what is secret: keep it where only you can read it.")
        if not (settings.DATA_DIR / "secret_key").exists():
            self.stdout.write("SECRET_KEY comes from the environment and is not in it: keep that, too.")


def _write(file: Path) -> None:
    """The file has its name once it is whole and on the disk, and may be read by its owner alone."""
    with TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as folder:
        copy, draft = Path(folder) / Path(settings.DATABASE["NAME"]).name, Path(folder) / "archive"
        _copy_database(copy)
        with open(draft, "xb", opener=_private) as handle:
            with tarfile.open(fileobj=handle, mode="w:gz") as archive:
                archive.add(copy, copy.name, filter=_for_its_owner)
                for name in STATE:
                    if (settings.DATA_DIR / name).exists():
                        archive.add(settings.DATA_DIR / name, name, filter=_for_its_owner)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(file)


def _copy_database(target: Path) -> None:
    """With SQLite's own online backup, which sees one moment of the database whatever others write. Raises OSError."""
    source = f"file:{settings.DATABASE['NAME']}?mode=ro"
    try:
        with closing(sqlite3.connect(source, uri=True)) as running, closing(sqlite3.connect(target)) as copy:
            running.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, with no journal beside it
            faults = copy.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as fault:
        raise OSError(f"the database cannot be copied ({fault})") from fault
    if faults != "ok":
        raise OSError(f"the copy of the database is damaged ({faults})")


def _for_its_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """What is unpacked is as private as it is here, also where `tar` runs as root and keeps the modes."""
    member.mode &= 0o700
    return member


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
