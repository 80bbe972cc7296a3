"""Brings users in, batch by batch: each batch and how far the file is done stand in one transaction."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from itertools import islice

from django.db import IntegrityError, connection, transaction

from accounts import audit, role_changes, roles
from accounts.models import ImportRun, Role
from accounts.transfer.formats import Format
from accounts.transfer.records import Line
from accounts.transfer.reports import Remark, Report
from accounts.transfer.rows import Rejected, Row, parse
from accounts.transfer.storing import Candidate, OnConflict, Storage, Tally

BATCH = 2000
TRIES = 3


@dataclass
class Import:
    """One run over the records of a file.

    `format` says how a record becomes a row; `report` takes what there is to say about lines, and the database says
    how much of it stands; `fingerprint` names the file and the options, by which a run that was stopped is found again.
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

    def resume(self) -> bool:
        """Takes up where an earlier run was stopped; whether there was one."""
        run = ImportRun.objects.filter(pk=self.fingerprint).first()
        if run:
            self.lines, self.tally, self.report_bytes = run.lines, Tally(**run.tally), run.report_bytes
        return run is not None

    def run(self, lines: Iterable[Line], progress: Callable[[], object]) -> None:
        """Imports all that follows the lines done so far. Raises Conflict, if that is to end it."""
        _map_nothing()
        remaining = islice(lines, self.lines, None)
        self._begin()
        while batch := list(islice(remaining, BATCH)):
            self._take(batch)
            progress()
        self._finish()

    def _begin(self) -> None:
        audit.record("import:started", None, actor=None, lines_done=self.lines)

    def _finish(self) -> None:
        with transaction.atomic():
            audit.record("import:finished", None, actor=None, **self.tally.counts())
            ImportRun.objects.filter(pk=self.fingerprint).delete()

    def _take(self, batch: list[Line]) -> None:
        """Once more when somebody registers one of the addresses meanwhile: then it is taken like the others."""
        candidates, unfit = self._judged(batch)
        for tries_left in reversed(range(TRIES)):
            remarks, tally = list(unfit), replace(self.tally)
            try:
                with transaction.atomic():
                    self._store(candidates, remarks, tally)
                    tally.add(remarks)
                    report_bytes = self.report(sorted(remarks), self.report_bytes)
                    self._conclude(self.lines + len(batch), tally, report_bytes)
                break
            except IntegrityError:
                if not tries_left:
                    raise
        self.lines, self.tally, self.report_bytes = self.lines + len(batch), tally, report_bytes

    def _store(self, candidates: list[Candidate], remarks: list[Remark], tally: Tally) -> list[Candidate]:
        self._create_roles(candidates)
        storage = Storage(self.on_conflict, self.is_inviting, self.may_be_privileged, self.is_strict, remarks)
        return storage.store(candidates, tally)

    def _create_roles(self, candidates: list[Candidate]) -> None:
        """Those that are missing, without permissions: a file is no place to hand out rights."""
        if self.is_creating_roles:
            named = {one.fields["role"] for one in candidates if "role" in one.fields}
            for name in sorted(named.difference(Role.objects.values_list("name", flat=True))):
                role_changes.create(name, [], actor=None)

    def _conclude(self, lines: int, tally: Tally, report_bytes: int) -> None:
        done = {"lines": lines, "tally": asdict(tally), "report_bytes": report_bytes}
        ImportRun.objects.update_or_create(pk=self.fingerprint, defaults=done)

    def _judged(self, batch: list[Line]) -> tuple[list[Candidate], list[Remark]]:
        known_roles = set(Role.objects.values_list("name", flat=True))
        candidates, remarks = [], []
        for line in batch:
            try:
                candidates.append(self._candidate(line, known_roles))
            except Rejected as reason:
                remarks.append(Remark(line.number, str(reason)))
        return candidates, remarks

    def _candidate(self, line: Line, known_roles: set[str]) -> Candidate:
        if line.fault:
            raise Rejected(line.fault)
        fields, warnings = parse(self._translated(line.record), is_strict=self.is_strict)
        role = fields.get("role", roles.USER)
        if role not in known_roles and not (self.is_creating_roles and roles.is_name(role)):
            raise Rejected("role: there is no such role")
        return Candidate(line.number, fields, warnings)

    def _translated(self, record: Row) -> Row:
        """What other products write may be of any kind; readers take it for granted that it is of theirs."""
        try:
            return self.format(record)
        except Rejected:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as fault:
            raise Rejected(f"a value is of no kind that an export of {self.format.name} has") from fault


def _map_nothing() -> None:
    """What SQLite maps of its file counts as memory of ours, and whoever only adds rows gains nothing by it."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA mmap_size = 0")
