"""manage.py audit: who did what, and whether the trail is as it was written."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.core.management.base import CommandError

from accounts import audit, audit_chain, audit_registry, batches
from accounts.filters import AuditFilter
from accounts.management import arguments
from accounts.management.base import ActionsCommand, Row
from accounts.models import AuditEvent

COLUMNS = ("created_at", "kind", "user", "actor", "ip", "request_id", "data")


class Command(ActionsCommand):
    help = "Lists audit events, and checks that none was changed, removed or slipped in."
    example = "audit verify"

    def add_actions(self) -> None:
        listing = self.add_action(
            self.list,
            "list",
            "List events, newest first.",
            "audit list --kind login:failed --after 2026-01-01T00:00:00Z --json",
        )
        arguments.add_filters(listing, AuditFilter)
        listing.add_argument("--limit", metavar="N", type=arguments.count, help="show at most so many")
        arguments.add_json(listing)
        checking = self.add_action(
            self.verify,
            "verify",
            "Check every event; the first that is not as it was written is named, with exit status 1.",
            "audit verify",
        )
        arguments.add_json(checking)

    def list(self, *, limit: int | None, as_json: bool, **options: Any) -> None:
        events = batches.read(arguments.filtered(AuditFilter, options, AuditEvent.objects.all()), is_descending=True)
        self.print_rows(_rows(islice(events, limit)), COLUMNS, as_json=as_json)

    def verify(self, *, as_json: bool, **_options: Any) -> None:
        try:
            events, fault = audit_chain.verify(), None
        except audit_registry.Broken as broken:
            events, fault = None, str(broken)
        if as_json:
            self.stdout.write(json.dumps({"intact": fault is None, "events": events, "fault": fault}))
        if fault:
            raise CommandError(fault)
        if not as_json:
            self.stdout.write(f"All {events} events are as they were written.")


def _rows(events: Iterable[AuditEvent]) -> Iterator[Row]:
    """Events as the API shows them."""
    for event in events:
        row = {"id": event.pk, "kind": event.kind, "user": event.user_id, "actor": event.actor_id}
        row |= {name: getattr(event, name) for name in ("created_at", "ip", "user_agent", "request_id")}
        yield row | {"data": audit.ordered(event.data)}
