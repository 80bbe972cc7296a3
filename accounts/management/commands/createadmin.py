"""manage.py createadmin: creates an administrator, even if no administrator can log in."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from accounts import permissions, users
from accounts.management import arguments
from accounts.management.base import ExampleCommand, how_to_confirm_address
from accounts.models import User


class Command(ExampleCommand):
    help = "Creates an administrator. Prompts for the password twice, or reads it from stdin."
    example = "createadmin root@example.com"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", type=arguments.address)
        arguments.add_password(parser)

    def handle(self, *_arguments: Any, email: str, password_stdin: bool, **_options: Any) -> None:
        _require_new_address(email)
        password = arguments.read_password_from_stdin() if password_stdin else arguments.prompt_for_password()
        role = arguments.find_role(permissions.ADMIN)
        users.create(email, actor=None, password=password, role=role, email_verified=True)
        self.stdout.write(f"{email} is now an administrator. Log in at {settings.PUBLIC_URL}/admin/.")


def _require_new_address(email: str) -> None:
    """Raises CommandError if the user exists. Without it, the operator would type a password that is not used."""
    if known := User.objects.find_by_email(email):
        hint = f"python manage.py users set-role {known.email} {permissions.ADMIN}"
        if not known.email_verified:
            hint += f", and: {how_to_confirm_address(known)}"
        raise CommandError(f"The user {known.email} already exists. To make this user an administrator: {hint}")
