"""manage.py import_users: imports users from a file of UserManager or of another product."""

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
from accounts.transfer.bulk_insert import Conflict, OnConflict, Tally
from accounts.transfer.dry_run import DryRun
from accounts.transfer.formats import FORMATS, Format
from accounts.transfer.importing import Import
from accounts.transfer.records import UnreadableFile
from accounts.transfer.reports import Remark, Report, ReportFile

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
    "command and for the server. Without it, passwords from Firebase can't be checked. "
    "--ignore-columns passwordHash imports the users without passwords."
)


class Command(ExampleCommand):
    help = (
        "Imports users from CSV, JSON lines or a JSON document. Its columns or keys are the fields of a user in the "
        "API, `password_hash`, and the fields of suspensions and invitations; only `email` is required. Roles must "
        "exist, or are created without permissions (--create-roles). If an import was stopped, run it again with the "
        "same file and options: it continues where it stopped. A name, metadata or a password hash that can't be "
        "stored is left out with a warning (--strict rejects the user). Second factors are neither imported nor "
        "changed: users who had them elsewhere add them again. The exit status is 1 if a line was rejected."
    )
    _remark_count = 0
    example = "import_users users.csv --on-conflict update --report rejected.csv"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the file to read; - is stdin")
        parser.add_argument(
            "--format", choices=FORMATS, default="usermanager", help="the product that exported the file (%(default)s)"
        )
        how = "what to do with a line whose address or id a user already has (%(default)s)"
        parser.add_argument("--on-conflict", choices=CONFLICTS, default="skip", help=how)
        parser.add_argument(
            "--invite", action="store_true", help="email an invitation to each new user without a password"
        )
        parser.add_argument("--create-roles", action="store_true", help="create missing roles, without permissions")
        parser.add_argument(
            "--allow-privileged",
            action="store_true",
            help="accept roles that hold permissions, and changes to users who have such a role; without it, the file "
            "can't create or change such users",
        )
        strict = "reject a user whose name, metadata or password hash can't be stored, instead of leaving that part out"
        parser.add_argument("--strict", action="store_true", help=strict)
        report = "write the lines that were rejected or gave a warning, with the reasons, to this CSV file"
        parser.add_argument("--report", metavar="FILE", help=report)
        ignore = "columns or keys to leave out, separated by commas; * for all that the format doesn't read"
        parser.add_argument("--ignore-columns", metavar="NAMES", default="", help=ignore)
        for name, default in (("rounds", 8), ("mem-cost", 14)):
            text = f"the {name.replace('-', '_')} of the Firebase project (%(default)s)"
            parser.add_argument(f"--firebase-{name}", type=int, metavar="N", default=default, help=text)
        text = "the base64_salt_separator of the Firebase project (%(default)s)"
        parser.add_argument("--firebase-salt-separator", metavar="BASE64", default="Bw==", help=text)
        parser.add_argument("--dry-run", action="store_true", help="show what would happen, and store nothing")

    def handle(self, *_arguments: Any, file: str, report: str | None, dry_run: bool, **options: Any) -> None:
        with ExitStack() as opened:
            source = opened.enter_context(_open_source(file))
            work = _build_import(DryRun if dry_run else Import, source, **options)
            is_resumed = not dry_run and work.load_progress()
            if is_resumed:
                self.stderr.write(f"Resuming an import that was stopped after {work.lines} lines.")
            else:
                _require_known_columns(source, work.format, options["ignore_columns"])
            work.report = opened.enter_context(self._open_report(report, is_resumed=is_resumed))
            try:
                if work.on_conflict == "fail" and not dry_run and not is_resumed:
                    _run("Checking", source, _build_import(DryRun, source, **options))
                _run("Checking" if dry_run else "Importing", source, work)
            except (Conflict, UnreadableFile) as error:
                raise CommandError(str(error)) from error
        self._print_summary(work.tally, is_dry=dry_run)

    @contextmanager
    def _open_report(self, name: str | None, *, is_resumed: bool) -> Iterator[Report]:
        """Yields a report that writes to the file, or without one prints the first remarks on stderr."""
        if name is None:
            yield self._print_remarks
            return
        try:
            with Path(name).open("ab") as file:
                yield ReportFile(file, is_resumed=is_resumed)
        except OSError as error:
            raise CommandError(f"{name} cannot be written: {error.strerror}.") from error

    def _print_remarks(self, remarks: list[Remark], length: int) -> int:
        for line, reason, _kind in remarks[: max(0, SHOWN_REMARKS - self._remark_count)]:
            self.stderr.write(f"Line {line}: {reason}")
        before, self._remark_count = self._remark_count, self._remark_count + len(remarks)
        if before <= SHOWN_REMARKS < self._remark_count:
            self.stderr.write("More lines were rejected or gave a warning; --report FILE lists them all.")
        return length

    def _print_summary(self, tally: Tally, *, is_dry: bool) -> None:
        counts = ", ".join(f"{number} {name}" for name, number in tally.counts().items())
        self.stdout.write(f"{'Would be' if is_dry else 'Done'}: {counts}.")
        if tally.rejected:
            raise CommandError(f"{tally.rejected} line{' was' if tally.rejected == 1 else 's were'} rejected.")


@contextmanager
def _open_source(name: str) -> Iterator[BinaryIO]:
    """Opens the file. Copies stdin to a temporary file, because it is read more than once. Raises CommandError."""
    if name == "-":
        with tempfile.TemporaryFile() as spool:
            _spool_stdin(spool)
            yield spool
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - the try covers the opening, not the reading
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from error
    with file:
        yield file


def _spool_stdin(spool: BinaryIO) -> None:
    try:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.flush()
    except OSError as error:
        folder = tempfile.gettempdir()
        advice = "Set TMPDIR to a folder with enough space, or name a file."
        raise CommandError(f"The input cannot be copied to {folder}: {error.strerror}. {advice}") from error


def _fingerprint(source: BinaryIO, *options: str) -> str:
    source.seek(0)
    digest = hashlib.sha256()
    for chunk in iter(lambda: source.read(CHUNK_BYTES), b""):
        digest.update(chunk)
    digest.update("\n".join(options).encode())
    return digest.hexdigest()


def _build_import(
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
    return kind(_format(**options), lambda _remarks, length: length, fingerprint, on_conflict, *flags)


def _format(
    *,
    format: str,
    ignore_columns: str,
    firebase_rounds: int,
    firebase_mem_cost: int,
    firebase_salt_separator: str,
    **_options: Any,
) -> Format:
    """Returns the format with the parameters of the command. Raises CommandError if those of Firebase are invalid."""
    chosen = replace(FORMATS[format], ignored=_split_names(ignore_columns) - {"*"})
    if format != "firebase":
        return chosen
    try:
        hashes.firebase(
            firebase_rounds, firebase_mem_cost, hashes.decode_base64(firebase_salt_separator), b"salt", b"key"
        )
    except hashes.UnknownHash as error:
        raise CommandError(f"The --firebase options are invalid: {error}.") from error
    if not settings.FIREBASE_SIGNER_KEY and "passwordHash" not in chosen.ignored:
        raise CommandError(NO_SIGNER_KEY)
    reader = partial(
        readers.firebase,
        rounds=firebase_rounds,
        mem_cost=firebase_mem_cost,
        salt_separator=firebase_salt_separator,
    )
    return replace(chosen, reader=reader)


def _split_names(names: str) -> frozenset[str]:
    return frozenset(name.strip() for name in names.split(",")) - {""}


def _require_known_columns(source: BinaryIO, format: Format, ignored: str) -> None:
    """Raises CommandError if the file has columns or keys that the format doesn't read, as their data would be lost."""
    if "*" in _split_names(ignored):
        return
    source.seek(0)
    with os.fdopen(os.dup(source.fileno()), "rb") as stream:
        try:
            unknown = sorted(files.find_unknown_columns(stream, format.layout, format.unknown))
        except UnreadableFile as error:
            raise CommandError(str(error)) from error
    if not unknown:
        return
    shown = [_printable(name) for name in unknown[:SHOWN_COLUMNS]]
    more = f" and {len(unknown) - SHOWN_COLUMNS} more" if len(unknown) > SHOWN_COLUMNS else ""
    can_be_named = not more and shown == unknown and not any("," in name for name in unknown)
    names = shlex.quote(",".join(shown)) if can_be_named else "'*'"
    raise CommandError(
        f"Nothing was imported: --format {format.name} doesn't read {', '.join(shown)}{more}. "
        f"Rename the ones that you need, or leave them out with --ignore-columns {names}."
    )


def _printable(name: str) -> str:
    """Returns the name of a column in one short line of printable characters."""
    if not name:
        return "a column without a name"
    text = "".join(character if character.isprintable() else "?" for character in name)
    return text if len(text) <= COLUMN_LENGTH else f"{text[:COLUMN_LENGTH]}…"


def _run(label: str, source: BinaryIO, work: Import) -> None:
    """Reads from a duplicate of the file, because the text reader closes the file that it reads."""
    source.seek(0)
    size = os.fstat(source.fileno()).st_size
    with os.fdopen(os.dup(source.fileno()), "rb") as stream, progress(label, size) as advance:
        work.run(
            files.read(stream, work.format.layout),
            lambda: advance(work.lines, os.lseek(source.fileno(), 0, os.SEEK_CUR)),
        )
