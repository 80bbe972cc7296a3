"""Tells what an import would do, by doing it and taking each batch back."""

from dataclasses import dataclass, field

from django.db import transaction

from accounts.models import User
from accounts.transfer.importing import Import
from accounts.transfer.reports import Remark
from accounts.transfer.storing import TAKEN_ID, Candidate, Conflict, Tally


@dataclass
class Rehearsal(Import):
    """Comes to the tally and the report of the import, and stores nothing.

    A single transaction for the whole file would keep everybody else waiting. So users of earlier batches are not there
    to be met again; they are known by the hashes of their addresses and ids, a fifth of the memory of these.
    """

    created: set[int] = field(default_factory=set)

    def _begin(self) -> None:
        """Nothing begins."""

    def _finish(self) -> None:
        """Nothing is done."""

    def _conclude(self, lines: int, tally: Tally, report_bytes: int) -> None:
        transaction.set_rollback(True)

    def _store(self, candidates: list[Candidate], remarks: list[Remark], tally: Tally) -> list[Candidate]:
        again = [one for one in candidates if self._is_again(one)]
        if again and self.on_conflict == "fail":
            raise Conflict(again[0].line)
        first = [one for one in candidates if not self._is_again(one)] if again else candidates
        created = super()._store(first, remarks, tally)
        for one in again:
            self._meet(one, remarks, tally)
        self.created.update(hash(key) for one in created for key in one.keys)
        return created

    def _is_again(self, one: Candidate) -> bool:
        return not self.created.isdisjoint(map(hash, one.keys))

    def _meet(self, one: Candidate, remarks: list[Remark], tally: Tally) -> None:
        if self.on_conflict == "skip":
            tally.skipped += 1
        elif self._is_known(one.fields["email_key"]):
            tally.updated += 1
            remarks += one.remarks
        else:
            remarks.append(Remark(one.line, str(TAKEN_ID)))

    def _is_known(self, email_key: str) -> bool:
        return hash(email_key) in self.created or User.objects.filter(email_key=email_key).exists()
