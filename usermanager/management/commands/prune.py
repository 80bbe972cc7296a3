"""manage.py prune: deletes expired rows and files; the relay does the same every few minutes."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connection
from django.utils import timezone
from django_celery_results.models import TaskResult

from accounts import audit, deletion, one_time_tokens, pruning, sessions
from accounts.jwt import signing_keys
from accounts.limits import rate_limits
from accounts.management.base import ExampleCommand
from accounts.mfa import challenges, pending_logins, totp
from notifications import outbox
from notifications.sending import mail_folder


class Command(ExampleCommand):
    help = (
        "Deletes expired sessions, one-time tokens, pending logins, spent challenges of passkeys, unfinished second "
        "factors, rate limit counters, signing keys, emails, task results and audit events. Finishes interrupted "
        "deletions of users."
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
    """Deletes expired rows and files, and returns the number of each kind."""
    oldest_result = timezone.now() - settings.CELERY_RESULT_EXPIRES
    pruned = {
        "users": deletion.finish_abandoned(),
        "sessions": sessions.prune(),
        "one_time_tokens": one_time_tokens.prune(),
        "pending_logins": pending_logins.prune(),
        "spent_challenges": challenges.prune(),
        "unconfirmed_totp": totp.prune(),
        "audit_events": audit.prune(),
        "rate_counters": rate_limits.prune(),
        "signing_keys": signing_keys.prune(),
        "mails": outbox.prune(),
        "mail_files": mail_folder.prune(),
        "task_results": pruning.delete(TaskResult.objects.filter(date_done__lt=oldest_result)),
    }
    _empty_journal()
    return pruned


def _empty_journal() -> None:
    """Empties SQLite's journal, which contains the deleted rows until they are overwritten.

    While another connection writes, SQLite leaves the journal as it is, until the next call.
    """
    if settings.IS_SQLITE and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
