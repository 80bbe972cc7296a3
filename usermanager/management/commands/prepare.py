"""manage.py prepare: sets up the database as `serve` does, for containers that run one process each."""

from typing import Any

from django.conf import settings

from accounts.management.base import ExampleCommand
from usermanager import bootstrap


class Command(ExampleCommand):
    help = "Creates the tables, the signing key and the first administrator if they are missing."
    example = "prepare"

    def handle(self, *arguments: Any, **options: Any) -> None:
        if password := bootstrap.run():
            self.stdout.write(
                f"First administrator: {settings.ADMIN_EMAIL} with the password {password} (shown this once)"
            )
