"""manage.py seed: fills a database for development or measuring with made-up users."""

import secrets
from itertools import islice
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import hashers, roles, seeding
from accounts.management import arguments
from accounts.management.base import ExampleCommand
from accounts.management.progress import progress
from accounts.models import Role, User
from accounts.transfer import storing

BATCH = 5000
RARE_ROLE, RARE_PERMISSIONS = "support", ["users.view"]


class Command(ExampleCommand):
    help = (
        "Makes up users, for development and for measuring: English and Spanish names, addresses at example.com and "
        "its kin, which no mail reaches, and four years of registrations and logins. They share one password, which "
        "is printed. The same number and --seed make the same users on the same day, in an empty database. Refused "
        "where somebody has an address of another domain."
    )
    example = "seed 10000"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", metavar="N", type=arguments.count, help="how many")
        parser.add_argument("--seed", metavar="N", type=int, default=1, help="which ones (%(default)s)")
        parser.add_argument("--yes", action="store_true", help="add them to whoever is there, to real people, too")

    def handle(self, *_arguments: Any, number: int, seed: int, yes: bool, **_options: Any) -> None:
        if not yes and User.objects.exclude(seeding.is_of_nobody()).exists():
            raise CommandError("This database has real users. Made-up ones are put among them with --yes alone.")
        password = secrets.token_urlsafe(12)
        try:
            self._fill(number, seed, hashers.make(password))
        except IntegrityError as fault:
            raise CommandError("Some of these users are there already: choose another --seed.") from fault
        self.stdout.write(f"Made {number} users. Each of them has the password {password} (shown this once).")

    def _fill(self, number: int, seed: int, encoded: str) -> None:
        """A transaction for each batch, so that whoever uses the product meanwhile waits for none of them long."""
        rare, _is_new = Role.objects.get_or_create(name=RARE_ROLE, defaults={"permissions": RARE_PERMISSIONS})
        today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        crowd = seeding.Crowd(encoded, today, common=Role.objects.get(name=roles.USER), rare=rare)
        made = crowd.people(User.objects.count(), number, seed)
        with progress("Seeding", number) as advance:
            done = 0
            while batch := list(islice(made, BATCH)):
                with transaction.atomic():
                    storing.insert(batch)
                done += len(batch)
                advance(done, done)
