"""manage.py seed: fills a database with fake users, for development and benchmarks."""

import secrets
from itertools import islice
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import permissions
from accounts.encryption import UnusableKeys
from accounts.hashing import hashers
from accounts.management import arguments
from accounts.management.base import ExampleCommand
from accounts.management.progress import progress
from accounts.mfa import totp
from accounts.models import Role, TotpSecret, User
from accounts.transfer import seeding, user_table
from accounts.transfer.seeding import FakeUsers

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
        parser.add_argument(
            "--second-factors",
            metavar="N",
            type=arguments.count,
            default=0,
            help="give N of them an authenticator app, all with the same secret, which is printed; no recovery codes",
        )
        parser.add_argument("--yes", action="store_true", help="create them even if the database has real users")

    def handle(self, *_arguments: Any, number: int, seed: int, second_factors: int, yes: bool, **_options: Any) -> None:
        if second_factors > number:
            raise CommandError(
                f"--second-factors is at most the number of users, {number}.", returncode=arguments.USAGE_STATUS
            )
        if not yes and User.objects.exclude(seeding.has_example_address()).exists():
            raise CommandError("This database has real users. Add --yes to create fake users among them.")
        password, secret = secrets.token_urlsafe(12), totp.new_secret()
        try:
            self._fill(_fake_users(hashers.make(password), second_factors), number, seed, secret)
        except UnusableKeys as error:
            raise CommandError(str(error), returncode=arguments.USAGE_STATUS) from error
        except IntegrityError as error:
            raise CommandError("Some of these users already exist: choose another --seed.") from error
        self.stdout.write(f"Created {number} users. Each of them has the password {password} (shown this once).")
        if second_factors:
            self.stdout.write(
                f"The authenticator apps of {second_factors} of them have the secret {totp.in_base32(secret)} (shown "
                "this once). `users list --mfa yes` lists these users."
            )

    def _fill(self, fake_users: FakeUsers, number: int, seed: int, secret: bytes) -> None:
        """Inserts each batch in its own transaction, so that other writers never wait for long."""
        users = fake_users.generate(User.objects.count(), number, seed)
        with progress("Seeding", number) as advance:
            done = 0
            while batch := list(islice(users, BATCH_SIZE)):
                with transaction.atomic():
                    user_table.insert(batch)
                    TotpSecret.objects.bulk_create(seeding.authenticator_apps(batch, secret))
                done += len(batch)
                advance(done, done)


def _fake_users(encoded: str, second_factors: int) -> FakeUsers:
    rare, _is_new = Role.objects.get_or_create(name=RARE_ROLE, defaults={"permissions": RARE_PERMISSIONS})
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    common = Role.objects.get(name=permissions.USER)
    return FakeUsers(encoded, today, common=common, rare=rare, second_factors=second_factors)
