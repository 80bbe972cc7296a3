"""Brings users in, batch by batch: each batch and how far the file is done stand in one transaction."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice

from django.db import IntegrityError, connection, transaction

from accounts import audit, role_changes, roles
from accounts.models import ImportRun, Role
from accounts.transfer.records import Line
from accounts.transfer.rows import Rejected, Row, parse
from accounts.transfer.storing import Candidate, Conflict, OnConflict, Storage, Tally, split, taken_keys

BATCH = 2000
TRIES = 3


@dataclass
class Import:
    """One run over the records of a file.

    `translate` makes a row of ours of a record; `report` is told each rejected line with its reason; `fingerprint`
    names the file and the options, by which a run that was stopped is found again.
    """

    translate: Callable[[Row], Row]
    report: Callable[[int, str], None]
    fingerprint: str
    on_conflict: OnConflict = "skip"
    is_inviting: bool = False
    is_creating_roles: bool = False
    tally: Tally = field(default_factory=Tally)
    lines: int = 0

    def resume(self) -> bool:
        """Takes up where an earlier run was stopped; whether there was one."""
        run = ImportRun.objects.filter(pk=self.fingerprint).first()
        if run:
            self.lines, self.tally = run.lines, Tally(**run.tally)
        return run is not None

    def run(self, lines: Iterable[Line], progress: Callable[[], object]) -> None:
        """Imports all that follows the lines done so far. Raises Conflict, if that is to end it."""
        _map_nothing()
        remaining = islice(lines, self.lines, None)
        audit.record("import:started", None, actor=None, lines_done=self.lines)
        while batch := list(islice(remaining, BATCH)):
            self._store(self._candidates(batch), len(batch))
            progress()
        with transaction.atomic():
            audit.record("import:finished", None, actor=None, **asdict(self.tally))
            ImportRun.objects.filter(pk=self.fingerprint).delete()

    def rehearse(self, lines: Iterable[Line], progress: Callable[[], object]) -> None:
        """Comes to the same tally and the same report without storing anything. Raises Conflict."""
        seen: set[int] = set()  # of hashes, which take a fifth of the memory of addresses
        rows = iter(lines)
        while batch := list(islice(rows, BATCH)):
            fresh, conflicts = split(candidates := self._candidates(batch), taken_keys(candidates))
            conflicts += [one for one in fresh if not seen.isdisjoint(map(hash, one.keys))]
            seen.update(hash(key) for one in candidates for key in one.keys)
            self._count(len(candidates) - len(conflicts), conflicts)
            self.lines += len(batch)
            progress()

    def _candidates(self, batch: list[Line]) -> list[Candidate]:
        known_roles = set(Role.objects.values_list("name", flat=True))
        candidates = []
        for line in batch:
            try:
                candidates.append(self._candidate(line, known_roles))
            except Rejected as reason:
                self._reject(line.number, str(reason))
        return candidates

    def _candidate(self, line: Line, known_roles: set[str]) -> Candidate:
        if line.fault:
            raise Rejected(line.fault)
        fields = parse(self._translated(line.record))
        role = fields.get("role", roles.USER)
        if role not in known_roles and not (self.is_creating_roles and roles.is_name(role)):
            raise Rejected("role: there is no such role")
        return Candidate(line.number, fields)

    def _translated(self, record: Row) -> Row:
        """What other products write may be of any kind; readers take it for granted that it is of theirs."""
        try:
            return self.translate(record)
        except Rejected:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as fault:
            raise Rejected(f"a value is of no kind that an export of {self.translate.__name__} has") from fault

    def _reject(self, number: int, reason: str) -> None:
        self.tally.rejected += 1
        self.report(number, reason)

    def _count(self, created: int, conflicts: list[Candidate]) -> None:
        if conflicts and self.on_conflict == "fail":
            raise Conflict(min(one.line for one in conflicts))
        self.tally.created += created
        if self.on_conflict == "update":
            self.tally.updated += len(conflicts)
        else:
            self.tally.skipped += len(conflicts)

    def _store(self, candidates: list[Candidate], lines: int) -> None:
        """Once more when somebody registers one of the addresses meanwhile: then it is taken like the others."""
        before = asdict(self.tally)
        for tries_left in reversed(range(TRIES)):
            try:
                with transaction.atomic():
                    self._create_roles(candidates)
                    Storage(self.on_conflict, self.is_inviting, self._reject).store(candidates, self.tally)
                    self._remember(self.lines + lines)
                break
            except IntegrityError:
                self.tally = Tally(**before)
                if not tries_left:
                    raise
        self.lines += lines

    def _create_roles(self, candidates: list[Candidate]) -> None:
        """Those that are missing, without permissions: a file is no place to hand out rights."""
        if self.is_creating_roles:
            named = {one.fields["role"] for one in candidates if "role" in one.fields}
            for name in sorted(named.difference(Role.objects.values_list("name", flat=True))):
                role_changes.create(name, [], actor=None)

    def _remember(self, lines: int) -> None:
        ImportRun.objects.update_or_create(pk=self.fingerprint, defaults={"lines": lines, "tally": asdict(self.tally)})


def _map_nothing() -> None:
    """What SQLite maps of its file counts as memory of ours, and whoever only adds rows gains nothing by it."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA mmap_size = 0")
