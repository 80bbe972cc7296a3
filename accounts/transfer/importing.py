"""Imports users in batches. Each transaction stores a batch together with the position in the file."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from itertools import islice

from django.db import IntegrityError, connection, transaction

from accounts import audit, permissions, roles
from accounts.models import ImportRun, Role
from accounts.transfer.bulk_insert import BulkInsert, Candidate, OnConflict, Tally
from accounts.transfer.formats import Format
from accounts.transfer.records import Line
from accounts.transfer.reports import Remark, Report
from accounts.transfer.rows import Rejected, Row, parse

BATCH_SIZE = 2000
MAX_ATTEMPTS = 3


@dataclass
class Import:
    """One run over the records of a file.

    `format` turns a record into a row. `report` gets the remarks about lines; the database stores how many bytes of it
    are committed. `fingerprint` identifies the file and the options, so that a stopped run can be resumed.
    """

    format: Format
    report: Report
    fingerprint: str
    on_conflict: OnConflict = "skip"
    is_inviting: bool = False
    is_creating_roles: bool = False
    may_be_privileged: bool = False
    is_strict: bool = False
    tally: Tally = field(default_factory=Tally)
    lines: int = 0
    report_bytes: int = 0

    def load_progress(self) -> bool:
        """Loads the position of a run that was stopped. Returns whether there was one."""
        run = ImportRun.objects.filter(pk=self.fingerprint).first()
        if run:
            self.lines, self.tally, self.report_bytes = run.lines, Tally(**run.tally), run.report_bytes
        return run is not None

    def run(self, lines: Iterable[Line], progress: Callable[[], object]) -> None:
        """Imports the lines that are not done yet. Raises Conflict if a conflict is to end the import."""
        _disable_sqlite_mmap()
        remaining = islice(lines, self.lines, None)
        self._record_start()
        while batch := list(islice(remaining, BATCH_SIZE)):
            self._import_batch(batch)
            progress()
        self._record_end()

    def _record_start(self) -> None:
        audit.record("import:started", None, actor=None, lines_done=self.lines)

    def _record_end(self) -> None:
        with transaction.atomic():
            audit.record("import:finished", None, actor=None, **self.tally.counts())
            ImportRun.objects.filter(pk=self.fingerprint).delete()

    def _import_batch(self, batch: list[Line]) -> None:
        """Imports the batch and its position in one transaction.

        Repeats it if another transaction takes one of the addresses meanwhile: the address is then a conflict.
        """
        candidates, rejections = self._validate(batch)
        for attempts_left in reversed(range(MAX_ATTEMPTS)):
            remarks, tally = list(rejections), replace(self.tally)
            try:
                with transaction.atomic():
                    self._store(candidates, remarks, tally)
                    tally.add(remarks)
                    report_bytes = self.report(sorted(remarks), self.report_bytes)
                    self._end_batch(self.lines + len(batch), tally, report_bytes)
                break
            except IntegrityError:
                if not attempts_left:
                    raise
        self.lines, self.tally, self.report_bytes = self.lines + len(batch), tally, report_bytes

    def _store(self, candidates: list[Candidate], remarks: list[Remark], tally: Tally) -> list[Candidate]:
        if self.is_creating_roles:
            _create_missing_roles(candidates)
        insert = BulkInsert(self.on_conflict, self.is_inviting, self.may_be_privileged, self.is_strict, remarks)
        return insert.store(candidates, tally)

    def _end_batch(self, lines: int, tally: Tally, report_bytes: int) -> None:
        """Stores the position, in the transaction of the batch."""
        done = {"lines": lines, "tally": asdict(tally), "report_bytes": report_bytes}
        ImportRun.objects.update_or_create(pk=self.fingerprint, defaults=done)

    def _validate(self, batch: list[Line]) -> tuple[list[Candidate], list[Remark]]:
        known_roles = set(Role.objects.values_list("name", flat=True))
        candidates, remarks = [], []
        for line in batch:
            try:
                candidates.append(self._candidate(line, known_roles))
            except Rejected as error:
                remarks.append(Remark(line.number, str(error)))
        return candidates, remarks

    def _candidate(self, line: Line, known_roles: set[str]) -> Candidate:
        if line.error:
            raise Rejected(line.error)
        fields, warnings = parse(self._as_row(line.record), is_strict=self.is_strict)
        role = fields.get("role", permissions.USER)
        if role not in known_roles and not (self.is_creating_roles and permissions.is_role_name(role)):
            raise Rejected("role: there is no such role")
        return Candidate(line.number, fields, warnings)

    def _as_row(self, record: Row) -> Row:
        """Turns a record into a row. Readers expect the types of their product, so any other type raises Rejected."""
        try:
            return self.format(record)
        except Rejected:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise Rejected(f"a value has a type that exports of {self.format.name} don't have") from error


def _create_missing_roles(candidates: list[Candidate]) -> None:
    """Creates the missing roles without permissions, because a file must not grant permissions."""
    named = {one.fields["role"] for one in candidates if "role" in one.fields}
    for name in sorted(named.difference(Role.objects.values_list("name", flat=True))):
        roles.create(name, [], actor=None)


def _disable_sqlite_mmap() -> None:
    """Stops SQLite from mapping its file. The map counts as memory of the process, and inserts gain nothing by it."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA mmap_size = 0")
