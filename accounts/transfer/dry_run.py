"""Shows what an import would do: performs it, and rolls back each batch."""

from dataclasses import dataclass, field

from django.db import transaction

from accounts.models import User
from accounts.transfer.bulk_insert import TAKEN_ID, Candidate, Conflict, Tally
from accounts.transfer.importing import Import
from accounts.transfer.reports import Remark


@dataclass
class DryRun(Import):
    """Produces the tally and the report of the import, and stores nothing.

    One transaction for the whole file would block all other writers. With one for each batch, the users of earlier
    batches are gone when a later line names them again. So this remembers the hashes of their addresses and ids, which
    take a fifth of the memory.
    """

    created: set[int] = field(default_factory=set)

    def _record_start(self) -> None:
        """Records nothing."""

    def _record_end(self) -> None:
        """Records nothing."""

    def _end_batch(self, lines: int, tally: Tally, report_bytes: int) -> None:
        """Rolls back the transaction of the batch."""
        transaction.set_rollback(True)

    def _store(self, candidates: list[Candidate], remarks: list[Remark], tally: Tally) -> list[Candidate]:
        repeated = [one for one in candidates if self._is_repeated(one)]
        if repeated and self.on_conflict == "fail":
            raise Conflict(repeated[0].line)
        first = [one for one in candidates if not self._is_repeated(one)] if repeated else candidates
        created = super()._store(first, remarks, tally)
        for one in repeated:
            self._handle_conflict(one, remarks, tally)
        self.created.update(hash(key) for one in created for key in one.keys)
        return created

    def _is_repeated(self, one: Candidate) -> bool:
        return not self.created.isdisjoint(map(hash, one.keys))

    def _handle_conflict(self, one: Candidate, remarks: list[Remark], tally: Tally) -> None:
        email_key = one.fields["email_key"]
        if self.on_conflict == "skip":
            tally.skipped += 1
        elif hash(email_key) in self.created or User.objects.filter(email_key=email_key).exists():
            tally.updated += 1
            remarks += one.remarks
        else:
            remarks.append(Remark(one.line, str(TAKEN_ID)))
