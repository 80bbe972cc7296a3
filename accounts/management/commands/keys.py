"""manage.py keys: the keys that access tokens are signed with."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction

from accounts import audit, keys
from accounts.management import arguments
from accounts.management.base import ActionsCommand, Row

COLUMNS = ("kid", "created_at", "signs", "expires_at")


class Command(ActionsCommand):
    help = "Lists the keys that access tokens are signed with, and makes new ones."
    example = "keys rotate"

    def add_actions(self) -> None:
        listing = self.add_action(self.list, "list", "List the keys that a living token may have.", "keys list --json")
        arguments.add_json(listing)
        self.add_action(
            self.rotate,
            "rotate",
            "Make a key that signs from now on; tokens signed with the old one hold until they expire.",
            "keys rotate",
        )

    def list(self, *, as_json: bool, **_options: Any) -> None:
        self.print_rows(_rows(), COLUMNS, as_json=as_json)

    def rotate(self, **_options: Any) -> None:
        with transaction.atomic():  # first: without a database to write the event to, no key is made
            key = keys.rotate()
            audit.record("key:rotated", None, actor=None, kid=key.kid)
        self.stdout.write(f"Access tokens are signed with {key.kid} from now on.")


def _rows() -> Iterator[Row]:
    ring = keys.ring()
    for index, key in enumerate(ring):
        expires_at = keys.expires_at(ring, index)
        yield {"kid": key.kid, "created_at": key.created_at, "signs": index == 0, "expires_at": expires_at}
