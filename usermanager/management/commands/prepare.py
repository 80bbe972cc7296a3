"""manage.py prepare: what `serve` does before it starts anything, for containers that run each process alone."""

from typing import Any

from django.conf import settings

from accounts.management.base import ExampleCommand
from usermanager.preparation import prepare


class Command(ExampleCommand):
    help = "Makes the tables, the signing key and the first admin where they are missing."
    example = "prepare"

    def handle(self, *arguments: Any, **options: Any) -> None:
        if password := prepare():
            self.stdout.write(f"First admin: {settings.ADMIN_EMAIL} with the password {password} (shown this once)")
