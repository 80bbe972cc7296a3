"""manage.py mails: shows what is owed, owes it anew, and renders a kind of mail."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandError
from django.db.models import QuerySet

from accounts.management import arguments
from accounts.management.base import ActionsCommand
from notifications import hold, interventions, mails, outbox, trial
from notifications.models import OutboxMail, State

COLUMNS = ("id", "created_at", "kind", "email", "state", "attempts", "next_attempt_at", "sent_at", "last_error")
SAMPLE = "019388f1-7c4e-7d0a-9f6e-2b9d1c3f5a70"
NO_PREVIEW = "There is no preview: this version does not know mails of this kind."
FIELDS = (*COLUMNS, "user_id", "language", "queue", "data")


class Command(ActionsCommand):
    help = "Shows the mails of the outbox, sends them again or not at all, and tries the mail server."
    example = "mails list --state failed"

    def add_actions(self) -> None:
        listing = self.add_action(
            self.list, "list", "List mails, newest first.", "mails list --state failed --limit 20 --json"
        )
        listing.add_argument("--state", choices=State.values, help=", ".join(State.values), metavar="STATE")
        listing.add_argument("--limit", type=arguments.count, metavar="NUMBER", help="no more than so many")
        arguments.add_json(listing)
        showing = self.add_action(
            self.show,
            "show",
            "Show all about a mail, and what it says.",
            f"mails show {SAMPLE}",
        )
        showing.add_argument("id", metavar="ID", type=UUID)
        arguments.add_json(showing)
        retrying = self.add_action(
            self.retry, "retry", "Send mails again that failed, were cancelled or wait for a try.", "mails retry --all"
        )
        retrying.add_argument("ids", metavar="ID", type=UUID, nargs="*")
        retrying.add_argument("--all", action="store_true", dest="is_all", help="every mail that failed")
        cancelling = self.add_action(self.cancel, "cancel", "Owe mails no more.", f"mails cancel {SAMPLE}")
        cancelling.add_argument("ids", metavar="ID", type=UUID, nargs="+")
        trying = self.add_action(
            self.test,
            "test",
            "Send a mail at once, and tell what is wrong if it fails.",
            "mails test me@example.com",
        )
        trying.add_argument("address", metavar="ADDRESS", type=arguments.address)
        rendering = self.add_action(
            self.preview, "preview", "Render a kind of mail with sample data.", "mails preview welcome --locale es"
        )
        rendering.add_argument("kind", metavar="KIND", choices=mails.KINDS, help=", ".join(mails.KINDS))
        rendering.add_argument("--locale", choices=dict(settings.LANGUAGES), default=settings.LANGUAGE_CODE)
        rendering.add_argument("--html", action="store_true", dest="is_html", help="the HTML instead of the text")

    def list(self, *, state: str | None, limit: int | None, as_json: bool, **_options: Any) -> None:
        if held := hold.current():
            self.stderr.write(f"The mail server refuses this installation, and all emails wait, since {held}")
        found = OutboxMail.objects.order_by("-id")
        rows = (found.filter(state=state) if state else found).values(*COLUMNS)[:limit]
        self.print_rows(rows.iterator(), COLUMNS, as_json=as_json)

    def show(self, *, id: UUID, as_json: bool, **_options: Any) -> None:
        mail = _chosen([id]).get()
        content = mails.preview(mail)
        row = {name: getattr(mail, name) for name in FIELDS}
        if as_json:
            said = {"subject": content and content.subject, "text": content and content.text}
            self.print_row(row | said, as_json=True)
            return
        self.print_row(row, as_json=False)
        self.stdout.write(f"\nSubject: {content.subject}\n\n{content.text}" if content else f"\n{NO_PREVIEW}")

    def retry(self, *, ids: Sequence[UUID], is_all: bool, **_options: Any) -> None:
        if bool(ids) == is_all:
            raise CommandError("Name the mails by their ids, or say --all.", returncode=arguments.USAGE_STATUS)
        found = _chosen(ids) if ids else OutboxMail.objects.filter(state=State.FAILED)
        obstacles = _obstacles(found, outbox.RETRIABLE)
        number = interventions.send_again(found, actor=None)
        self._tell(f"{_mails(number)} will be tried again.", obstacles, is_refused=bool(ids) and number == 0)

    def cancel(self, *, ids: Sequence[UUID], **_options: Any) -> None:
        found = _chosen(ids)
        obstacles = _obstacles(found, outbox.UNSENT)
        going = found.filter(state=State.SENDING).count()
        number = interventions.cancel(found, actor=None)
        done = f"{_mails(number)} will not be sent."
        if going:
            done = f"{_mails(number)} will not be tried again; {_mails(going)} being sent right now may still go out."
        self._tell(done, obstacles, is_refused=number == 0)

    def _tell(self, done: str, obstacles: Sequence[str], *, is_refused: bool) -> None:
        """What was done, and why the rest of the mails stays as it is."""
        if is_refused:
            raise CommandError("\n".join(obstacles) or done)
        self.stdout.write(done)
        for obstacle in obstacles:
            self.stderr.write(obstacle)

    def test(self, *, address: str, **_options: Any) -> None:
        try:
            self.stdout.write(trial.send(address))
        except trial.Failed as reason:
            raise CommandError(str(reason)) from reason

    def preview(self, *, kind: str, locale: str, is_html: bool, **_options: Any) -> None:
        for content in mails.previews(kind, locale):
            self.stdout.write(content.html if is_html else f"Subject: {content.subject}\n\n{content.text}")


def _mails(number: int) -> str:
    return f"{number} mail{'' if number == 1 else 's'}"


def _obstacles(mails: QuerySet[OutboxMail], states: Collection[str]) -> Sequence[str]:
    """Why nothing will happen to those that are in none of these states."""
    others = mails.exclude(state__in=states).order_by("pk")
    return [f"{mail.pk}: {interventions.OBSTACLES[State(mail.state)]}" for mail in others]


def _chosen(ids: Sequence[UUID]) -> QuerySet[OutboxMail]:
    found = OutboxMail.objects.filter(pk__in=ids)
    if unknown := set(ids) - set(found.values_list("pk", flat=True)):
        raise CommandError(f"There is no mail {', '.join(sorted(map(str, unknown)))}.")
    return found
