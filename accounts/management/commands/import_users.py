"""manage.py import_users: brings users in from a file, of ours or of another product."""

import hashlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from accounts.management.base import ExampleCommand
from accounts.management.progress import progress
from accounts.transfer import files, hashes, readers
from accounts.transfer.formats import FORMATS, Format
from accounts.transfer.importing import Import
from accounts.transfer.records import NotReadable
from accounts.transfer.rehearsing import Rehearsal
from accounts.transfer.reports import Remark, Report, ReportFile
from accounts.transfer.storing import Conflict, OnConflict, Tally

CONFLICTS = ("skip", "update", "fail")
SHOWN_REMARKS = 20
SHOWN_COLUMNS = 30
COLUMN_LENGTH = 60
CHUNK_BYTES = 1024 * 1024
FORMAT_OPTIONS = {
    *("format", "ignore_columns", "firebase_rounds", "firebase_mem_cost", "firebase_salt_separator"),
}
NO_SIGNER_KEY = (
    "Set FIREBASE_SIGNER_KEY (or FIREBASE_SIGNER_KEY_FILE) to the base64_signer_key of the Firebase project, for this "
    "command and for the server: without it, no password of Firebase can be checked. "
    "--ignore-columns passwordHash imports the users without passwords."
)


class Command(ExampleCommand):
    help = (
        "Imports users from CSV, JSON lines or a JSON document. Columns or keys are those of a user in the API and "
        "`password_hash`, and how suspensions and invitations stand; only `email` is required. Roles have to be there "
        "before, or are made without permissions (--create-roles). An import that was stopped goes on where it was "
        "when it is started again with the same file and options. A name, metadata or a password hash that cannot be "
        "stored is left out with a warning (--strict rejects the user). The status is 1 when a line was rejected."
    )
    _remarks = 0
    example = "import_users users.csv --on-conflict update --report rejected.csv"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="what to read; - is stdin")
        parser.add_argument("--format", choices=FORMATS, default="usermanager", help="whose export it is (%(default)s)")
        how = "what becomes of a line whose address or id a user has already (%(default)s)"
        parser.add_argument("--on-conflict", choices=CONFLICTS, default="skip", help=how)
        parser.add_argument("--invite", action="store_true", help="mail new users without a password an invitation")
        parser.add_argument("--create-roles", action="store_true", help="make missing roles, without permissions")
        parser.add_argument(
            "--allow-privileged",
            action="store_true",
            help="accept roles that hold permissions, and changes to users who have one; without it, the file makes no "
            "administrator and changes none",
        )
        strict = (
            "reject a user whose name, metadata or password hash cannot be stored, instead of leaving that part out"
        )
        parser.add_argument("--strict", action="store_true", help=strict)
        report = "a CSV of the lines that were rejected or gave a warning, with the reasons"
        parser.add_argument("--report", metavar="FILE", help=report)
        ignore = "columns or keys that are not to be imported, with commas between them; * for all that nothing reads"
        parser.add_argument("--ignore-columns", metavar="NAMES", default="", help=ignore)
        for name, default in (("rounds", 8), ("mem-cost", 14)):
            text = f"the {name.replace('-', '_')} of the Firebase project (%(default)s)"
            parser.add_argument(f"--firebase-{name}", type=int, metavar="N", default=default, help=text)
        text = "the base64_salt_separator of the Firebase project (%(default)s)"
        parser.add_argument("--firebase-salt-separator", metavar="BASE64", default="Bw==", help=text)
        parser.add_argument("--dry-run", action="store_true", help="tell what would happen, and store nothing")

    def handle(self, *_arguments: Any, file: str, report: str | None, dry_run: bool, **options: Any) -> None:
        with ExitStack() as opened:
            source = opened.enter_context(_source(file))
            work = _work(Rehearsal if dry_run else Import, source, **options)
            is_resumed = not dry_run and work.resume()
            if not is_resumed:
                _check_columns(source, work.format, options["ignore_columns"])
            if is_resumed:
                self.stderr.write(f"This import was stopped before; it goes on after {work.lines} lines.")
            work.report = opened.enter_context(self._report(report, is_resumed=is_resumed))
            try:
                if work.on_conflict == "fail" and not dry_run and not is_resumed:
                    _go("Checking", source, _work(Rehearsal, source, **options))
                _go("Checking" if dry_run else "Importing", source, work)
            except (Conflict, NotReadable) as fault:
                raise CommandError(str(fault)) from fault
        self._sum_up(work.tally, is_dry=dry_run)

    @contextmanager
    def _report(self, name: str | None, *, is_resumed: bool) -> Iterator[Report]:
        """Into a file if one is named; otherwise the first ones on stderr."""
        if name is None:
            yield self._shown
            return
        try:
            with Path(name).open("ab") as file:
                yield ReportFile(file, is_resumed=is_resumed)
        except OSError as fault:
            raise CommandError(f"{name} cannot be written: {fault.strerror}.") from fault

    def _shown(self, remarks: list[Remark], stands: int) -> int:
        for line, reason, _kind in remarks[: max(0, SHOWN_REMARKS - self._remarks)]:
            self.stderr.write(f"Line {line}: {reason}")
        before, self._remarks = self._remarks, self._remarks + len(remarks)
        if before <= SHOWN_REMARKS < self._remarks:
            self.stderr.write("There is more to say; --report FILE lists all of them.")
        return stands

    def _sum_up(self, tally: Tally, *, is_dry: bool) -> None:
        counts = ", ".join(f"{number} {name}" for name, number in tally.counts().items())
        self.stdout.write(f"{'Would be' if is_dry else 'Done'}: {counts}.")
        if tally.rejected:
            raise CommandError(f"{tally.rejected} line{' was' if tally.rejected == 1 else 's were'} rejected.")


@contextmanager
def _source(name: str) -> Iterator[BinaryIO]:
    """The file; stdin is put into one first, as it has to be read more than once. Raises CommandError."""
    if name == "-":
        with tempfile.TemporaryFile() as spool:
            _keep_stdin(spool)
            yield spool
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - what happens while it is read is no error of opening it
    except OSError as fault:
        raise CommandError(f"{name} cannot be read: {fault.strerror}.") from fault
    with file:
        yield file


def _keep_stdin(spool: BinaryIO) -> None:
    try:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.flush()
    except OSError as fault:
        place = tempfile.gettempdir()
        advice = "Set TMPDIR to a folder with room for it, or name a file."
        raise CommandError(f"The input cannot be kept in {place}: {fault.strerror}. {advice}") from fault


def _fingerprint(source: BinaryIO, *options: str) -> str:
    source.seek(0)
    digest = hashlib.sha256()
    for chunk in iter(lambda: source.read(CHUNK_BYTES), b""):
        digest.update(chunk)
    digest.update("\n".join(options).encode())
    return digest.hexdigest()


def _work(
    kind: type[Import],
    source: BinaryIO,
    *,
    on_conflict: OnConflict,
    invite: bool,
    create_roles: bool,
    allow_privileged: bool,
    strict: bool,
    **options: Any,
) -> Import:
    flags = (invite, create_roles, allow_privileged, strict)
    named = sorted((name, str(value)) for name, value in options.items() if name in FORMAT_OPTIONS)
    fingerprint = _fingerprint(source, on_conflict, *map(str, flags), repr(named))
    return kind(_format(**options), _ignore, fingerprint, on_conflict, *flags)


def _format(
    *,
    format: str,
    ignore_columns: str,
    firebase_rounds: int,
    firebase_mem_cost: int,
    firebase_salt_separator: str,
    **_options: Any,
) -> Format:
    """With the parameters of the command. Raises CommandError for a project of Firebase whose hashes have others."""
    chosen = replace(FORMATS[format], ignored=_ignored(ignore_columns) - {"*"})
    if format != "firebase":
        return chosen
    try:
        hashes.firebase(firebase_rounds, firebase_mem_cost, hashes.unbase64(firebase_salt_separator), b"salt", b"key")
    except hashes.UnknownHash as fault:
        raise CommandError(f"The --firebase options are no project's: {fault}.") from fault
    if not settings.FIREBASE_SIGNER_KEY and "passwordHash" not in chosen.ignored:
        raise CommandError(NO_SIGNER_KEY)
    reader = partial(
        readers.firebase,
        rounds=firebase_rounds,
        mem_cost=firebase_mem_cost,
        salt_separator=firebase_salt_separator,
    )
    return replace(chosen, reader=reader)


def _ignored(names: str) -> frozenset[str]:
    return frozenset(name.strip() for name in names.split(",")) - {""}


def _check_columns(source: BinaryIO, format: Format, ignored: str) -> None:
    """Raises CommandError when the file names something that would be lost."""
    if "*" in _ignored(ignored):
        return
    source.seek(0)
    with os.fdopen(os.dup(source.fileno()), "rb") as stream:
        try:
            unknown = sorted(files.unknown(stream, format.layout, format.unknown))
        except NotReadable as fault:
            raise CommandError(str(fault)) from fault
    if not unknown:
        return
    shown = [_shown(name) for name in unknown[:SHOWN_COLUMNS]]
    more = f" and {len(unknown) - SHOWN_COLUMNS} more" if len(unknown) > SHOWN_COLUMNS else ""
    can_be_named = not more and shown == unknown and not any("," in name for name in unknown)
    names = shlex.quote(",".join(shown)) if can_be_named else "'*'"
    raise CommandError(
        f"Nothing is imported: --format {format.name} has no place for {', '.join(shown)}{more}. "
        f"Rename what you need; --ignore-columns {names} leaves it out."
    )


def _shown(name: str) -> str:
    """A name of a column as an error may print it: one line that is not endless."""
    if not name:
        return "a column without a name"
    text = "".join(character if character.isprintable() else "?" for character in name)
    return text if len(text) <= COLUMN_LENGTH else f"{text[:COLUMN_LENGTH]}…"


def _go(label: str, source: BinaryIO, work: Import) -> None:
    """Reads a duplicate of the file, as whoever reads text closes what it reads from."""
    source.seek(0)
    size = os.fstat(source.fileno()).st_size
    with os.fdopen(os.dup(source.fileno()), "rb") as stream, progress(label, size) as advance:
        work.run(
            files.read(stream, work.format.layout),
            lambda: advance(work.lines, os.lseek(source.fileno(), 0, os.SEEK_CUR)),
        )


def _ignore(remarks: list[Remark], stands: int) -> int:
    """A report that nobody reads."""
    return stands
