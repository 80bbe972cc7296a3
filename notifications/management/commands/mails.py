"""manage.py mails: lists, retries, cancels and previews emails of the outbox, and tests the mail server."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandError
from django.db.models import QuerySet

from accounts.management import arguments
from accounts.management.base import ActionsCommand
from notifications import actions, outbox
from notifications.content import composing, kinds
from notifications.models import OutboxMail, State
from notifications.sending import hold, retries, smtp_diagnostics

COLUMNS = ("id", "created_at", "kind", "email", "state", "attempts", "next_attempt_at", "sent_at", "last_error")
SAMPLE = "019388f1-7c4e-7d0a-9f6e-2b9d1c3f5a70"
NO_PREVIEW = "No preview: this version does not support this kind of email."
FIELDS = (*COLUMNS, "user_id", "language", "queue", "data")


class Command(ActionsCommand):
    help = "Shows the emails of the outbox, sends them again or cancels them, and tests the mail server."
    example = "mails list --state failed"

    def add_actions(self) -> None:
        listing = self.add_action(
            self.list, "list", "List emails, newest first.", "mails list --state failed --limit 20 --json"
        )
        listing.add_argument("--state", choices=State.values, help=", ".join(State.values), metavar="STATE")
        listing.add_argument("--limit", type=arguments.count, metavar="NUMBER", help="at most this many")
        arguments.add_json(listing)
        showing = self.add_action(
            self.show,
            "show",
            "Show all stored data of an email, and its text.",
            f"mails show {SAMPLE}",
        )
        showing.add_argument("id", metavar="ID", type=UUID)
        arguments.add_json(showing)
        retrying = self.add_action(
            self.retry,
            "retry",
            "Send emails again that failed, were cancelled or wait for an attempt.",
            "mails retry --all",
        )
        retrying.add_argument("ids", metavar="ID", type=UUID, nargs="*")
        retrying.add_argument("--all", action="store_true", dest="is_all", help="every email that failed")
        cancelling = self.add_action(self.cancel, "cancel", "Cancel emails.", f"mails cancel {SAMPLE}")
        cancelling.add_argument("ids", metavar="ID", type=UUID, nargs="+")
        trying = self.add_action(
            self.test,
            "test",
            "Send a test email at once, and explain the error if it fails.",
            "mails test me@example.com",
        )
        trying.add_argument("address", metavar="ADDRESS", type=arguments.address)
        rendering = self.add_action(
            self.preview, "preview", "Render a kind of email with sample data.", "mails preview welcome --locale es"
        )
        rendering.add_argument("kind", metavar="KIND", choices=kinds.KINDS, help=", ".join(kinds.KINDS))
        rendering.add_argument("--locale", choices=dict(settings.LANGUAGES), default=settings.LANGUAGE_CODE)
        rendering.add_argument("--html", action="store_true", dest="is_html", help="the HTML instead of the text")

    def list(self, *, state: str | None, limit: int | None, as_json: bool, **_options: Any) -> None:
        if held := hold.current():
            self.stderr.write(f"The mail server rejects this installation, so all emails wait, since {held}")
        found = OutboxMail.objects.order_by("-id")
        rows = (found.filter(state=state) if state else found).values(*COLUMNS)[:limit]
        self.print_rows(rows.iterator(), COLUMNS, as_json=as_json)

    def show(self, *, id: UUID, as_json: bool, **_options: Any) -> None:
        mail = _chosen([id]).get()
        content = composing.preview(mail)
        row = {name: getattr(mail, name) for name in FIELDS}
        if as_json:
            said = {"subject": content and content.subject, "text": content and content.text}
            self.print_row(row | said, as_json=True)
            return
        self.print_row(row, as_json=False)
        self.stdout.write(f"\nSubject: {content.subject}\n\n{content.text}" if content else f"\n{NO_PREVIEW}")

    def retry(self, *, ids: Sequence[UUID], is_all: bool, **_options: Any) -> None:
        if bool(ids) == is_all:
            raise CommandError("Name emails by their ids, or use --all.", returncode=arguments.USAGE_STATUS)
        found = _chosen(ids) if ids else OutboxMail.objects.filter(state=State.FAILED)
        obstacles = _obstacles(found, retries.RETRIABLE)
        number = actions.send_again(found, actor=None)
        self._tell(f"{_emails(number)} will be sent again.", obstacles, is_error=bool(ids) and number == 0)

    def cancel(self, *, ids: Sequence[UUID], **_options: Any) -> None:
        found = _chosen(ids)
        obstacles = _obstacles(found, outbox.UNSENT)
        going = found.filter(state=State.SENDING).count()
        number = actions.cancel(found, actor=None)
        done = f"{_emails(number)} cancelled."
        if going:
            done = f"{_emails(number)} cancelled; {_emails(going)} being sent right now may still go out."
        self._tell(done, obstacles, is_error=number == 0)

    def _tell(self, done: str, obstacles: Sequence[str], *, is_error: bool) -> None:
        """Prints the result, and why the other emails are unchanged."""
        if is_error:
            raise CommandError("\n".join(obstacles) or done)
        self.stdout.write(done)
        for obstacle in obstacles:
            self.stderr.write(obstacle)

    def test(self, *, address: str, **_options: Any) -> None:
        try:
            self.stdout.write(smtp_diagnostics.send_test(address))
        except smtp_diagnostics.TestFailed as reason:
            raise CommandError(str(reason)) from reason

    def preview(self, *, kind: str, locale: str, is_html: bool, **_options: Any) -> None:
        for content in composing.previews(kind, locale):
            self.stdout.write(content.html if is_html else f"Subject: {content.subject}\n\n{content.text}")


def _emails(number: int) -> str:
    return f"{number} email{'' if number == 1 else 's'}"


def _obstacles(mails: QuerySet[OutboxMail], states: Collection[str]) -> Sequence[str]:
    """Returns why the emails in other states will be unchanged."""
    others = mails.exclude(state__in=states).order_by("pk")
    return [f"{mail.pk}: {actions.OBSTACLES[State(mail.state)]}" for mail in others]


def _chosen(ids: Sequence[UUID]) -> QuerySet[OutboxMail]:
    found = OutboxMail.objects.filter(pk__in=ids)
    if unknown := set(ids) - set(found.values_list("pk", flat=True)):
        raise CommandError(f"There is no email {', '.join(sorted(map(str, unknown)))}.")
    return found
