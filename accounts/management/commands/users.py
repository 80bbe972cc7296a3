"""manage.py users: everything that an administrator can do with users, from the command line."""

from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from accounts import factor_changes, invitations, metadata, suspension, users
from accounts.listing.filters import USER_ORDERINGS, UserFilter, ordered
from accounts.management import arguments
from accounts.management.base import ActionsCommand, Row, how_to_confirm_address
from accounts.mfa import factors, recovery_codes
from accounts.mfa.factors import Factor
from accounts.models import User

COLUMNS = ("email", "full_name", "role", "is_active", "email_verified", "created_at", "last_login_at")
CHUNK_ROWS = 1000
YES_NO = {"yes": "true", "no": "false"}


class Command(ActionsCommand):
    help = "Lists, creates, invites, changes and deletes users."
    example = "users list --role admin"

    def add_actions(self) -> None:
        self._add_list()
        self._add("show", self.show, "Show all fields of a user, and the second factors.", json=True)
        self._add_create()
        self._add("invite", self.invite, "Send an invitation to a user without a password.")
        self._add("revoke-invitation", self.revoke_invitation, "Revoke an invitation that was not accepted.")
        suspending = self._add(
            "suspend",
            self.suspend,
            "Suspend a user: end all sessions, and reject logins.",
            example="--until 2030-01-31",
        )
        suspending.add_argument("--until", metavar="TIME", type=arguments.time, help="when the suspension ends")
        suspending.add_argument(
            "--reason", default="", type=arguments.reason, help="shown to administrators while the user is suspended"
        )
        self._add("activate", self.activate, "End the suspension of a user.")
        self._add("verify", self.verify, "Mark the address of a user as confirmed.")
        self._add("unlock", self.unlock, "Reset the count of failed logins of a user.")
        self._add_reset_mfa()
        roles = self._add("set-role", self.set_role, "Give a user another role.", example="support")
        roles.add_argument("role", metavar="ROLE")
        deleting = self._add("delete", self.delete, "Delete a user and all of the user's data.")
        deleting.add_argument("--yes", action="store_true", help="don't ask for confirmation")

    def list(self, *, ordering: str, limit: int | None, as_json: bool, **options: Any) -> None:
        found = arguments.apply_filters(UserFilter, options, User.objects.select_related("role"))
        found = ordered(found, USER_ORDERINGS[ordering.removeprefix("-")], is_descending=ordering.startswith("-"))
        rows = map(_document, found[:limit].iterator(CHUNK_ROWS))
        self.print_rows(rows, COLUMNS, as_json=as_json)

    def show(self, *, email_or_id: str, as_json: bool, **_options: Any) -> None:
        user = arguments.find_user(email_or_id)
        found = suspension.current(user)
        suspended = {"suspended_until": found.until, "suspension_reason": found.reason} if found else {}
        self.print_row({**_document(user), **suspended, **_second_factors(user, as_json=as_json)}, as_json=as_json)

    def create(self, *, email: str, role: str | None, password_stdin: bool, **options: Any) -> None:
        fields = {name: options[name] for name in ("full_name", "locale", "email_verified")}
        fields["role"] = arguments.find_role(role) if role else None
        password = arguments.read_password_from_stdin() if password_stdin else None
        user = users.create(email, actor=None, password=password, **fields)
        invited = "" if password_stdin else " and invited them to choose a password"
        self.stdout.write(f"Created {user.email} with the id {user.pk}{invited}.{_confirmation_note(user)}")

    def invite(self, *, email_or_id: str, **_options: Any) -> None:
        user = arguments.find_user(email_or_id)
        invitations.invite(user, actor=None)
        self.stdout.write(f"An invitation to {user.email} will be sent.")

    def revoke_invitation(self, *, email_or_id: str, **_options: Any) -> None:
        user = arguments.find_user(email_or_id)
        invitations.revoke(user, actor=None)
        self.stdout.write(f"The invitation of {user.email} is revoked.")

    def suspend(self, *, email_or_id: str, reason: str, until: datetime | None, **_options: Any) -> None:
        user = users.suspend(arguments.find_user(email_or_id), actor=None, reason=reason, until=until)
        end = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
        self.stdout.write(f"{user.email} is suspended{end}.")

    def activate(self, *, email_or_id: str, **_options: Any) -> None:
        user = users.activate(arguments.find_user(email_or_id), actor=None)
        self.stdout.write(f"{user.email} is active.")

    def verify(self, *, email_or_id: str, **_options: Any) -> None:
        user = users.update(arguments.find_user(email_or_id), actor=None, email_verified=True)
        self.stdout.write(f"The address {user.email} is confirmed.")

    def unlock(self, *, email_or_id: str, **_options: Any) -> None:
        user = users.unlock(arguments.find_user(email_or_id), actor=None)
        self.stdout.write(f"The failed logins of {user.email} are reset.")

    def reset_mfa(self, *, email_or_id: str, enrol: bool, yes: bool, **_options: Any) -> None:
        user = arguments.find_user(email_or_id)
        if not yes and not arguments.ask_for_confirmation(f"Remove all second factors of {user.email}?"):
            raise CommandError("Nothing was removed.")
        factor_changes.reset(user, actor=None, enrol=enrol)
        needed = "must add a new one, with the password and an emailed link" if enrol else "needs the password alone"
        self.stdout.write(f"The second factors of {user.email} are removed. The next login {needed}.")

    def set_role(self, *, email_or_id: str, role: str, **_options: Any) -> None:
        user = users.set_role(arguments.find_user(email_or_id), arguments.find_role(role), actor=None)
        self.stdout.write(f"{user.email} has the role {user.role.name}.{_confirmation_note(user)}")

    def delete(self, *, email_or_id: str, yes: bool, **_options: Any) -> None:
        user = arguments.find_user(email_or_id)
        if not yes and not arguments.ask_for_confirmation(f"Delete {user.email} and all of the user's data?"):
            raise CommandError("Nothing was deleted.")
        users.delete(user, actor=None)
        self.stdout.write(f"{user.email} is deleted.")

    def _add(self, name: str, run: Any, description: str, *, example: str = "", json: bool = False) -> CommandParser:
        """Adds an action on one user."""
        parser = self.add_action(run, name, description, f"users {name} ana@example.com {example}".rstrip())
        parser.add_argument("email_or_id", metavar=arguments.EMAIL_OR_ID)
        if json:
            arguments.add_json(parser)
        return parser

    def _add_reset_mfa(self) -> None:
        parser = self._add(
            "reset-mfa",
            self.reset_mfa,
            "Remove all second factors and recovery codes of a user who lost them, and end all sessions. The next "
            "login must add a new one, with the password and an emailed link.",
        )
        parser.add_argument(
            "--no-enrol",
            action="store_false",
            dest="enrol",
            help="let the password alone suffice; a role that requires a second factor still does",
        )
        parser.add_argument("--yes", action="store_true", help="don't ask for confirmation")

    def _add_list(self) -> None:
        parser = self.add_action(
            self.list,
            "list",
            "List users, newest first by default.",
            "users list --role admin --last-login-before 2026-01-01 --ordering=-last_login_at",
        )
        arguments.add_filters(parser, UserFilter)
        about = "the same as --mfa-enabled true or false"
        parser.add_argument("--mfa", dest="mfa_enabled", type=_flag, metavar="yes|no", help=about)
        orderings = [sign + name for name in USER_ORDERINGS for sign in ("", "-")]
        how = f"{', '.join(USER_ORDERINGS)}, or with - in front for the reverse order: --ordering=-email"
        parser.add_argument("--ordering", choices=orderings, default="-created_at", metavar="FIELD", help=how)
        parser.add_argument("--limit", metavar="N", type=arguments.count, help="show at most this many")
        arguments.add_json(parser)

    def _add_create(self) -> None:
        parser = self.add_action(
            self.create,
            "create",
            "Create a user. Without a password, the user is invited by email to choose one.",
            'users create ana@example.com --full-name "Ana García" --role support',
        )
        parser.add_argument("email", metavar="EMAIL", type=arguments.address)
        parser.add_argument("--full-name", metavar="NAME", default="", type=arguments.full_name)
        parser.add_argument("--role", help="the default is user")
        languages = [code for code, _name in settings.LANGUAGES]
        parser.add_argument("--locale", default="", choices=languages, help="the language of the user's emails")
        parser.add_argument(
            "--verified", action="store_true", dest="email_verified", help="mark the address as confirmed"
        )
        arguments.add_password(parser)


def _confirmation_note(user: User) -> str:
    """Returns what else is needed for the permissions of the role to take effect."""
    if not user.has_dormant_permissions:
        return ""
    return f" Its permissions take effect once the address is confirmed: {how_to_confirm_address(user)}"


def _document(user: User) -> Row:
    """Returns a user as the API shows one."""
    document = {name: getattr(user, name) for name in User.API_FIELDS}
    return document | {
        "role": user.role.name,
        "locale": user.locale or None,
        "metadata": metadata.ordered(user.metadata),
    }


def _second_factors(user: User, *, as_json: bool) -> Row:
    """Returns the factors of a user who has any."""
    found = factors.of_user(user)
    if not found:
        return {}
    named = [factor._asdict() for factor in found] if as_json else _listed(found)
    return {"factors": named, "recovery_codes_left": recovery_codes.number_left(user)}


def _listed(found: list[Factor]) -> str:
    return ", ".join(f"{factor.name} ({factor.type})" for factor in found)


def _flag(text: str) -> str:
    if text not in YES_NO:
        raise ArgumentTypeError("write yes or no")
    return YES_NO[text]
