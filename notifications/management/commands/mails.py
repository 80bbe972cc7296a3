"""manage.py mails: shows what is owed, owes it anew, and renders a kind of mail."""

import json
from collections.abc import Callable
from typing import IO, Any, cast
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet

from notifications import doorbell, mails, outbox
from notifications.models import OutboxMail, State

FIELDS = ("id", "created_at", "kind", "email", "state", "attempts", "next_attempt_at", "sent_at", "last_error")


class Command(BaseCommand):
    help = "Shows the mails of the outbox, sends them again, and renders a kind of mail."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        shown = actions.add_parser("list", help="the newest mails", epilog="Example: mails list --state failed --json")
        shown.add_argument("--state", choices=State.values)
        shown.add_argument("--limit", type=int, default=100, help="how many at the most (default: %(default)s)")
        shown.add_argument("--json", action="store_true")
        again = actions.add_parser("retry", help="owe mails anew", epilog="Example: mails retry --all")
        again.add_argument("ids", metavar="ID", type=UUID, nargs="*")
        again.add_argument("--all", action="store_true", help="every mail that failed")
        preview = actions.add_parser(
            "preview", help="render a kind", epilog="Example: mails preview welcome --locale es"
        )
        preview.add_argument("kind", metavar="KIND", choices=mails.KINDS, help=", ".join(mails.KINDS))
        preview.add_argument("--locale", choices=dict(settings.LANGUAGES), default=settings.LANGUAGE_CODE)
        preview.add_argument("--html", action="store_true", help="the HTML instead of the text")

    def handle(self, *arguments: Any, action: str, **options: Any) -> None:
        actions: dict[str, Callable[..., None]] = {"list": self._list, "retry": self._retry, "preview": self._preview}
        actions[action](**options)

    def _list(self, *, state: str | None, limit: int, **options: Any) -> None:
        found = OutboxMail.objects.order_by("-id")
        rows = list((found.filter(state=state) if state else found).values(*FIELDS)[:limit])
        if options["json"]:
            self.stdout.write(json.dumps(rows, cls=DjangoJSONEncoder, indent=2))
        else:
            self._print(rows)

    def _print(self, rows: list[dict[str, Any]]) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table(*(name.replace("_", " ") for name in FIELDS), box=None, header_style="bold")
        for row in rows:
            table.add_row(*(_readable(row[name]) for name in FIELDS))
        Console(file=cast(IO[str], self.stdout), soft_wrap=True).print(table)

    def _retry(self, *, ids: list[UUID], **options: Any) -> None:
        if bool(ids) == options["all"]:
            raise CommandError("Name the mails by their ids, or say --all.", returncode=2)
        number = outbox.retry(self._chosen(ids))
        doorbell.ring()
        self.stdout.write(f"{number} mails will be tried again." if number != 1 else "1 mail will be tried again.")

    def _chosen(self, ids: list[UUID]) -> QuerySet[OutboxMail]:
        if not ids:
            return OutboxMail.objects.filter(state=State.FAILED)
        found = OutboxMail.objects.filter(pk__in=ids)
        if unknown := set(ids) - set(found.values_list("pk", flat=True)):
            raise CommandError("There is no mail " + ", ".join(sorted(map(str, unknown))) + ".")
        return found

    def _preview(self, *, kind: str, locale: str, html: bool, **options: Any) -> None:
        for content in mails.previews(kind, locale):
            self.stdout.write(content.html if html else f"Subject: {content.subject}\n\n{content.text}")


def _readable(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value or "")
