"""manage.py sessions: lists and ends the sessions of a user."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from accounts import users
from accounts.management import arguments
from accounts.management.base import ActionsCommand, Row
from accounts.models import Session, User

COLUMNS = ("id", "created_at", "last_used_at", "expires_at", "ip", "user_agent")


class Command(ActionsCommand):
    help = "Lists the sessions of a user, and ends them."
    example = "sessions revoke ana@example.com"

    def add_actions(self) -> None:
        listing = self.add_action(
            self.list, "list", "List the sessions of a user, newest first.", "sessions list ana@example.com --json"
        )
        listing.add_argument("email_or_id", metavar=arguments.EMAIL_OR_ID)
        arguments.add_json(listing)
        revoking = self.add_action(
            self.revoke, "revoke", "End one session of a user, or all of them.", "sessions revoke ana@example.com"
        )
        revoking.add_argument("email_or_id", metavar=arguments.EMAIL_OR_ID)
        revoking.add_argument("--session", metavar="ID", type=UUID, help="end only this session")

    def list(self, *, email_or_id: str, as_json: bool, **_options: Any) -> None:
        self.print_rows(_rows(arguments.find_user(email_or_id)), COLUMNS, as_json=as_json)

    def revoke(self, *, email_or_id: str, session: UUID | None, **_options: Any) -> None:
        user = arguments.find_user(email_or_id)
        ended = _revoke_one(user, session) if session else users.revoke_sessions(user, actor=None)
        self.stdout.write(f"Ended {ended} session{'' if ended == 1 else 's'} of {user.email}.")


def _revoke_one(user: User, session_id: UUID) -> int:
    session = Session.objects.active().filter(user=user, pk=session_id).first()
    if session is None:
        raise CommandError(f"{user.email} has no session {session_id}.")
    users.revoke_session(user, session, actor=None)
    return 1


def _rows(user: User) -> Iterator[Row]:
    for session in Session.objects.active().filter(user=user).order_by("-id"):
        yield {
            "id": session.pk,
            "created_at": session.created_at,
            "last_used_at": session.last_used_at,
            "expires_at": session.ends_at,
            "ip": session.ip,
            "user_agent": session.user_agent,
        }
