"""manage.py prune: deletes what has expired; the relay does the same every few minutes."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connection
from django.utils import timezone
from django_celery_results.models import TaskResult

from accounts import audit, deletion, keys, pruning, sessions, throttling, tokens
from accounts.management.base import ExampleCommand
from notifications import mail_folder, outbox


class Command(ExampleCommand):
    help = (
        "Deletes expired sessions, one-time tokens, counters, keys, mails, task results and old audit events, and "
        "finishes deletions of users that were interrupted."
    )
    example = "prune --json"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the numbers as JSON")

    def handle(self, *arguments: Any, **options: Any) -> None:
        pruned = prune()
        if options["json"]:
            self.stdout.write(json.dumps(pruned))
            return
        for name, number in pruned.items():
            self.stdout.write(f"{number:>8}  {name.replace('_', ' ')}")


def prune() -> dict[str, int]:
    """How many of each kind were deleted."""
    pruned = {
        "users": deletion.finish_abandoned(),
        "sessions": sessions.prune(),
        "one_time_tokens": tokens.prune(),
        "audit_events": audit.prune(),
        "rate_counters": throttling.prune(),
        "signing_keys": keys.prune(),
        "mails": outbox.prune(),
        "mail_files": mail_folder.prune(),
        "task_results": _prune_results(),
    }
    _empty_journal()
    return pruned


def _empty_journal() -> None:
    """SQLite's journal would hold what was deleted until it is written over; where somebody writes, the next time."""
    if settings.IS_SQLITE and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _prune_results() -> int:
    oldest = timezone.now() - settings.CELERY_RESULT_EXPIRES
    return pruning.delete(TaskResult.objects.filter(date_done__lt=oldest))
