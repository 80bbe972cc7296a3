"""manage.py createadmin: makes an admin, also when nobody can log in any more."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from accounts import roles, users
from accounts.management import arguments
from accounts.management.base import ExampleCommand, way_to_confirm
from accounts.models import User


class Command(ExampleCommand):
    help = "Makes a user who may do everything. Asks for the password twice, or reads it from stdin."
    example = "createadmin root@example.com"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", type=arguments.address)
        arguments.add_password(parser)

    def handle(self, *_arguments: Any, email: str, password_stdin: bool, **_options: Any) -> None:
        _refuse_known(email)
        password = arguments.password_from_stdin() if password_stdin else arguments.asked_password()
        role = arguments.role(roles.ADMIN)
        users.create(email, actor=None, password=password, role=role, email_verified=True)
        self.stdout.write(f"{email} may do everything now, also at {settings.PUBLIC_URL}/admin/.")


def _refuse_known(email: str) -> None:
    """Before a password is typed for nothing."""
    if known := User.objects.with_address(email):
        hint = f"python manage.py users set-role {known.email} {roles.ADMIN}"
        if not known.email_verified:
            hint += f", and: {way_to_confirm(known)}"
        raise CommandError(f"There is a user {known.email} already. To make an admin of them: {hint}")
