"""manage.py audit: lists audit events, and checks that none was changed."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.core.management.base import CommandError

from accounts import audit, batches
from accounts.audit import chain, registry
from accounts.listing.filters import AuditFilter
from accounts.management import arguments
from accounts.management.base import ActionsCommand, Row
from accounts.models import AuditEvent

COLUMNS = ("created_at", "kind", "user", "actor", "ip", "request_id", "data")


class Command(ActionsCommand):
    help = "Lists audit events, and checks that none was changed, removed or inserted."
    example = "audit verify"

    def add_actions(self) -> None:
        listing = self.add_action(
            self.list,
            "list",
            "List events, newest first.",
            "audit list --kind login:failed --after 2026-01-01T00:00:00Z --json",
        )
        arguments.add_filters(listing, AuditFilter)
        listing.add_argument("--limit", metavar="N", type=arguments.count, help="show at most this many")
        arguments.add_json(listing)
        checking = self.add_action(
            self.verify,
            "verify",
            "Check every event. If one was changed, removed or inserted, name the first and exit with status 1.",
            "audit verify",
        )
        arguments.add_json(checking)

    def list(self, *, limit: int | None, as_json: bool, **options: Any) -> None:
        events = batches.read(
            arguments.apply_filters(AuditFilter, options, AuditEvent.objects.all()), is_descending=True
        )
        self.print_rows(_rows(islice(events, limit)), COLUMNS, as_json=as_json)

    def verify(self, *, as_json: bool, **_options: Any) -> None:
        try:
            events, error = chain.verify(), None
        except registry.BrokenChain as broken:
            events, error = None, str(broken)
        if as_json:
            self.stdout.write(json.dumps({"intact": error is None, "events": events, "fault": error}))
        if error:
            raise CommandError(error)
        if not as_json:
            self.stdout.write(f"All {events} events are intact.")


def _rows(events: Iterable[AuditEvent]) -> Iterator[Row]:
    """Yields the events as the API shows them."""
    for event in events:
        row = {"id": event.pk, "kind": event.kind, "user": event.user_id, "actor": event.actor_id}
        row |= {name: getattr(event, name) for name in ("created_at", "ip", "user_agent", "request_id")}
        yield row | {"data": audit.ordered(event.data)}
