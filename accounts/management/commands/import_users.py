"""manage.py import_users: brings users in from a file, of ours or of another product."""

import csv
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser

from accounts.management.base import ExampleCommand
from accounts.management.progress import progress
from accounts.transfer import files
from accounts.transfer.formats import FORMATS
from accounts.transfer.importing import Import
from accounts.transfer.records import NotReadable
from accounts.transfer.storing import Conflict, OnConflict, Tally

CONFLICTS = ("skip", "update", "fail")
SHOWN_REJECTIONS = 20
CHUNK_BYTES = 1024 * 1024

Report = Callable[[int, str], None]


class Command(ExampleCommand):
    help = (
        "Imports users from CSV, JSON lines or a JSON document. Columns or keys are those of a user in the API and "
        "`password_hash`, and how suspensions and invitations stand; only `email` is required. Roles have to be there "
        "before, or are made without permissions (--create-roles). An import that was stopped goes on where it was "
        "when it is started again with the same file and options. The status is 1 when a line was rejected."
    )
    _rejections = 0
    example = "import_users users.csv --on-conflict update --report rejected.csv"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="what to read; - is stdin")
        parser.add_argument("--format", choices=FORMATS, default="usermanager", help="whose export it is (%(default)s)")
        how = "what becomes of a line whose address or id a user has already (%(default)s)"
        parser.add_argument("--on-conflict", choices=CONFLICTS, default="skip", help=how)
        parser.add_argument("--invite", action="store_true", help="mail new users without a password an invitation")
        parser.add_argument("--create-roles", action="store_true", help="make missing roles, without permissions")
        parser.add_argument("--report", metavar="FILE", help="a CSV of the rejected lines with their reasons")
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, and store nothing")

    def handle(self, *_arguments: Any, file: str, report: str | None, dry_run: bool, **options: Any) -> None:
        with ExitStack() as opened:
            source = opened.enter_context(_source(file))
            work = self._import(source, **options)
            is_resumed = not dry_run and work.resume()
            if is_resumed:
                self.stderr.write(f"This import was stopped before; it goes on after {work.lines} lines.")
            work.report = opened.enter_context(self._report(report, is_resumed=is_resumed))
            try:
                self._run(work, source, is_dry=dry_run, is_resumed=is_resumed)
            except (Conflict, NotReadable) as fault:
                raise CommandError(str(fault)) from fault
        self._sum_up(work.tally, is_dry=dry_run)

    def _import(
        self,
        source: BinaryIO,
        *,
        format: str,
        on_conflict: OnConflict,
        invite: bool,
        create_roles: bool,
        **_options: Any,
    ) -> Import:
        fingerprint = _fingerprint(source, format, on_conflict, str(invite), str(create_roles))
        return Import(FORMATS[format], _ignore, fingerprint, on_conflict, invite, create_roles)

    def _run(self, work: Import, source: BinaryIO, *, is_dry: bool, is_resumed: bool) -> None:
        """A conflict that is to end the import is looked for before anything is stored."""
        if work.on_conflict == "fail" and not is_dry and not is_resumed:
            rehearsal = replace(work, report=_ignore, tally=Tally())
            _go("Checking", source, rehearsal, rehearsal.rehearse)
        _go("Checking" if is_dry else "Importing", source, work, work.rehearse if is_dry else work.run)

    @contextmanager
    def _report(self, name: str | None, *, is_resumed: bool) -> Iterator[Report]:
        """Into a file if one is named; otherwise the first ones on stderr."""
        if name is None:
            yield self._shown
            return
        try:
            with Path(name).open("a" if is_resumed else "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                if not is_resumed:
                    writer.writerow(["line", "reason"])
                yield lambda line, reason: writer.writerow([line, reason]) and None
        except OSError as fault:
            raise CommandError(f"{name} cannot be written: {fault.strerror}.") from fault

    def _shown(self, line: int, reason: str) -> None:
        self._rejections += 1
        if self._rejections <= SHOWN_REJECTIONS:
            self.stderr.write(f"Line {line}: {reason}")
        elif self._rejections == SHOWN_REJECTIONS + 1:
            self.stderr.write("More lines are rejected; --report FILE lists all of them.")

    def _sum_up(self, tally: Tally, *, is_dry: bool) -> None:
        counts = ", ".join(f"{number} {name}" for name, number in asdict(tally).items())
        self.stdout.write(f"{'Would be' if is_dry else 'Done'}: {counts}.")
        if tally.rejected:
            raise CommandError(f"{tally.rejected} line{' was' if tally.rejected == 1 else 's were'} rejected.")


@contextmanager
def _source(name: str) -> Iterator[BinaryIO]:
    """The file; stdin is put into one first, as it has to be read more than once. Raises CommandError."""
    try:
        if name != "-":
            with Path(name).open("rb") as file:
                yield file
            return
    except OSError as fault:
        raise CommandError(f"{name} cannot be read: {fault.strerror}.") from fault
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        yield spool


def _fingerprint(source: BinaryIO, *options: str) -> str:
    source.seek(0)
    digest = hashlib.sha256()
    for chunk in iter(lambda: source.read(CHUNK_BYTES), b""):
        digest.update(chunk)
    digest.update("\n".join(options).encode())
    return digest.hexdigest()


def _go(label: str, source: BinaryIO, work: Import, run: Callable[..., None]) -> None:
    """Reads a duplicate of the file, as whoever reads text closes what it reads from."""
    source.seek(0)
    size = os.fstat(source.fileno()).st_size
    with os.fdopen(os.dup(source.fileno()), "rb") as stream, progress(label, size) as advance:
        run(files.read(stream), lambda: advance(work.lines, os.lseek(source.fileno(), 0, os.SEEK_CUR)))


def _ignore(line: int, reason: str) -> None:
    """A report that nobody reads."""
