"""manage.py users: what an admin does about users, done at the machine."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from accounts import invitations, metadata, suspension, users
from accounts.filters import USER_ORDERINGS, UserFilter, ordered
from accounts.management import arguments
from accounts.management.base import ActionsCommand, Row, way_to_confirm
from accounts.models import User

COLUMNS = ("email", "full_name", "role", "is_active", "email_verified", "created_at", "last_login_at")
FIELDS = (
    *("id", "email", "full_name", "role", "is_active", "email_verified", "locale", "metadata"),
    *("created_at", "updated_at", "last_login_at"),
)
ROWS_AT_ONCE = 1000


class Command(ActionsCommand):
    help = "Lists, creates, invites, changes and deletes users."
    example = "users list --role admin"

    def add_actions(self) -> None:
        self._add_list()
        self._add("show", self.show, "Show all that is known about a user.", json=True)
        self._add_create()
        self._add("invite", self.invite, "Mail a user without a password a new link to choose one.")
        self._add("revoke-invitation", self.revoke_invitation, "Take an invitation back that was not accepted.")
        suspending = self._add(
            "suspend",
            self.suspend,
            "Sign a user out everywhere and let them in no more.",
            example="--until 2030-01-31",
        )
        suspending.add_argument("--until", metavar="TIME", type=arguments.moment, help="when to let them in again")
        suspending.add_argument("--reason", default="", type=arguments.reason, help="shown while they are suspended")
        self._add("activate", self.activate, "Let a suspended user in again.")
        self._add("verify", self.verify, "Take the address of a user as confirmed.")
        self._add("unlock", self.unlock, "Forget the failed logins of a user.")
        roles = self._add("set-role", self.set_role, "Give a user another role.", example="support")
        roles.add_argument("role", metavar="ROLE")
        deleting = self._add("delete", self.delete, "Delete a user and everything of theirs.")
        deleting.add_argument("--yes", action="store_true", help="do not ask")

    def list(self, *, ordering: str, limit: int | None, as_json: bool, **options: Any) -> None:
        found = arguments.filtered(UserFilter, options, User.objects.select_related("role"))
        found = ordered(found, USER_ORDERINGS[ordering.removeprefix("-")], is_descending=ordering.startswith("-"))
        rows = map(_document, found[:limit].iterator(ROWS_AT_ONCE))
        self.print_rows(rows, COLUMNS, as_json=as_json)

    def show(self, *, who: str, as_json: bool, **_options: Any) -> None:
        user = arguments.user(who)
        self.print_row({**_document(user), **_suspension(user)}, as_json=as_json)

    def create(self, *, email: str, role: str | None, password_stdin: bool, **options: Any) -> None:
        fields = {name: options[name] for name in ("full_name", "locale", "email_verified")}
        fields["role"] = arguments.role(role) if role else None
        password = arguments.password_from_stdin() if password_stdin else None
        user = users.create(email, actor=None, password=password, **fields)
        invited = "" if password_stdin else " and invited them to choose a password"
        self.stdout.write(f"Created {user.email} with the id {user.pk}{invited}.{_dormant(user)}")

    def invite(self, *, who: str, **_options: Any) -> None:
        user = arguments.user(who)
        invitations.invite(user, actor=None)
        self.stdout.write(f"An invitation to {user.email} is on its way.")

    def revoke_invitation(self, *, who: str, **_options: Any) -> None:
        user = arguments.user(who)
        invitations.revoke(user, actor=None)
        self.stdout.write(f"The invitation of {user.email} is revoked.")

    def suspend(self, *, who: str, reason: str, until: datetime | None, **_options: Any) -> None:
        user = users.suspend(arguments.user(who), actor=None, reason=reason, until=until)
        end = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
        self.stdout.write(f"{user.email} is suspended{end}.")

    def activate(self, *, who: str, **_options: Any) -> None:
        user = users.activate(arguments.user(who), actor=None)
        self.stdout.write(f"{user.email} is active.")

    def verify(self, *, who: str, **_options: Any) -> None:
        user = users.update(arguments.user(who), actor=None, email_verified=True)
        self.stdout.write(f"The address {user.email} is confirmed.")

    def unlock(self, *, who: str, **_options: Any) -> None:
        user = users.unlock(arguments.user(who), actor=None)
        self.stdout.write(f"The failed logins of {user.email} are forgotten.")

    def set_role(self, *, who: str, role: str, **_options: Any) -> None:
        user = users.set_role(arguments.user(who), arguments.role(role), actor=None)
        self.stdout.write(f"{user.email} has the role {user.role.name}.{_dormant(user)}")

    def delete(self, *, who: str, yes: bool, **_options: Any) -> None:
        user = arguments.user(who)
        if not yes and not arguments.is_confirmed(f"Delete {user.email} and everything of theirs?"):
            raise CommandError("Nothing was deleted.")
        users.delete(user, actor=None)
        self.stdout.write(f"{user.email} is deleted.")

    def _add(self, name: str, run: Any, description: str, *, example: str = "", json: bool = False) -> CommandParser:
        """An action on one user."""
        parser = self.add_action(run, name, description, f"users {name} ana@example.com {example}".rstrip())
        parser.add_argument("who", metavar=arguments.WHO)
        if json:
            arguments.add_json(parser)
        return parser

    def _add_list(self) -> None:
        parser = self.add_action(
            self.list,
            "list",
            "List users, newest first unless told otherwise.",
            "users list --role admin --last-login-before 2026-01-01 --ordering=-last_login_at",
        )
        arguments.add_filters(parser, UserFilter)
        orderings = [sign + name for name in USER_ORDERINGS for sign in ("", "-")]
        how = f"{', '.join(USER_ORDERINGS)}, or with - and the last first: --ordering=-email"
        parser.add_argument("--ordering", choices=orderings, default="-created_at", metavar="FIELD", help=how)
        parser.add_argument("--limit", metavar="N", type=arguments.count, help="show at most so many")
        arguments.add_json(parser)

    def _add_create(self) -> None:
        parser = self.add_action(
            self.create,
            "create",
            "Create a user. Without a password they are invited by mail to choose one.",
            'users create ana@example.com --full-name "Ana García" --role support',
        )
        parser.add_argument("email", metavar="EMAIL", type=arguments.address)
        parser.add_argument("--full-name", metavar="NAME", default="", type=arguments.full_name)
        parser.add_argument("--role", help="the default is user")
        languages = [code for code, _name in settings.LANGUAGES]
        parser.add_argument("--locale", default="", choices=languages, help="the language of their mails")
        parser.add_argument("--verified", action="store_true", dest="email_verified", help="the address is theirs")
        arguments.add_password(parser)


def _dormant(user: User) -> str:
    """What else it takes for the role's permissions to count."""
    if not user.has_dormant_permissions:
        return ""
    return f" Its permissions count once the address is confirmed: {way_to_confirm(user)}"


def _suspension(user: User) -> Row:
    """Why and until when somebody is suspended, if they are."""
    found = suspension.current(user)
    return {"suspended_until": found.until, "suspension_reason": found.reason} if found else {}


def _document(user: User) -> Row:
    """A user as the API shows one."""
    document = {name: getattr(user, name) for name in FIELDS}
    return document | {
        "role": user.role.name,
        "locale": user.locale or None,
        "metadata": metadata.ordered(user.metadata),
    }
