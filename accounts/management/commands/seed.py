"""manage.py seed: fills a database with fake users, for development and benchmarks."""

import secrets
from itertools import islice
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import permissions
from accounts.hashing import hashers
from accounts.management import arguments
from accounts.management.base import ExampleCommand
from accounts.management.progress import progress
from accounts.models import Role, User
from accounts.transfer import seeding, user_table

BATCH_SIZE = 5000
RARE_ROLE, RARE_PERMISSIONS = "support", ["users.view"]


class Command(ExampleCommand):
    help = (
        "Creates fake users for development and benchmarks: English and Spanish names, addresses at example.com, .org "
        "and .net, which receive no email, and four years of registrations and logins. They share one password, which "
        "is printed. In an empty database, the same number and --seed create the same users on the same day. Fails if "
        "a user has an address of another domain."
    )
    example = "seed 10000"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", metavar="N", type=arguments.count, help="how many")
        parser.add_argument(
            "--seed", metavar="N", type=int, default=1, help="other seeds create other users (%(default)s)"
        )
        parser.add_argument("--yes", action="store_true", help="create them even if the database has real users")

    def handle(self, *_arguments: Any, number: int, seed: int, yes: bool, **_options: Any) -> None:
        if not yes and User.objects.exclude(seeding.has_example_address()).exists():
            raise CommandError("This database has real users. Add --yes to create fake users among them.")
        password = secrets.token_urlsafe(12)
        try:
            self._fill(number, seed, hashers.make(password))
        except IntegrityError as error:
            raise CommandError("Some of these users already exist: choose another --seed.") from error
        self.stdout.write(f"Created {number} users. Each of them has the password {password} (shown this once).")

    def _fill(self, number: int, seed: int, encoded: str) -> None:
        """Inserts each batch in its own transaction, so that other writers never wait for long."""
        rare, _is_new = Role.objects.get_or_create(name=RARE_ROLE, defaults={"permissions": RARE_PERMISSIONS})
        today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        fake_users = seeding.FakeUsers(encoded, today, common=Role.objects.get(name=permissions.USER), rare=rare)
        users = fake_users.generate(User.objects.count(), number, seed)
        with progress("Seeding", number) as advance:
            done = 0
            while batch := list(islice(users, BATCH_SIZE)):
                with transaction.atomic():
                    user_table.insert(batch)
                done += len(batch)
                advance(done, done)
