"""manage.py keys: the keys that access tokens are signed with."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from accounts import audit, keys
from accounts.management import arguments
from accounts.management.base import ActionsCommand, Row

COLUMNS = ("kid", "created_at", "state", "signs", "signs_from", "expires_at")
KID = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


class Command(ActionsCommand):
    help = "Lists the keys that access tokens are signed with, makes new ones and revokes them."
    example = "keys rotate"

    def add_actions(self) -> None:
        listing = self.add_action(
            self.list, "list", "List the keys that a living or a future token may have.", "keys list --json"
        )
        arguments.add_json(listing)
        rotating = self.add_action(
            self.rotate,
            "rotate",
            "Make a key, published now, that signs once cached JWKS have it; older tokens hold until they expire.",
            "keys rotate",
        )
        rotating.add_argument(
            "--now",
            action="store_true",
            dest="is_at_once",
            help="sign with it at once: services that cached the JWKS may refuse its tokens for some minutes",
        )
        arguments.add_json(rotating)
        revoking = self.add_action(
            self.revoke,
            "revoke",
            "Remove a key that somebody else may have: its tokens are refused at once. Sessions go on.",
            f"keys revoke {KID}",
        )
        revoking.add_argument("kid", metavar="KID", help="from `keys list`; -- goes before one that begins with -")
        arguments.add_json(revoking)

    def list(self, *, as_json: bool, **_options: Any) -> None:
        self.print_rows(_rows(), COLUMNS, as_json=as_json)

    def rotate(self, *, is_at_once: bool, as_json: bool, **_options: Any) -> None:
        with transaction.atomic():  # first: without a database to write the event to, no key is made
            key = keys.rotate(at_once=is_at_once)
            audit.record("key:rotated", None, actor=None, kid=key.kid)
        if as_json:
            self.print_row({"kid": key.kid, "signs_from": key.signs_from}, as_json=True)
        elif is_at_once:
            self.stdout.write(f"Access tokens are signed with {key.kid} from now on.")
        else:
            self.stdout.write(f"{key.kid} is published now and signs access tokens from {_words(key)} on.")

    def revoke(self, *, kid: str, as_json: bool, **_options: Any) -> None:
        key = keys.find(kid)
        if key is None:
            raise CommandError(f"There is no key {kid}.")
        with transaction.atomic():
            audit.record("key:revoked", None, actor=None, kid=kid)
            successor = keys.revoke(key)
            if successor:
                audit.record("key:rotated", None, actor=None, kid=successor.kid)
        if as_json:
            self.print_row({"kid": kid, "successor": successor and successor.kid}, as_json=True)
            return
        self.stdout.write(
            f"{kid} is revoked. Tokens signed with it are refused here from now on, and by other services"
        )
        self.stdout.write(
            "once they fetch the JWKS again, within some minutes. Clients refresh theirs; sessions go on."
        )
        if successor:
            self.stdout.write(f"Access tokens are signed with {successor.kid} from now on.")


def _words(key: keys.SigningKey) -> str:
    return f"{key.signs_from:%Y-%m-%d %H:%M:%S} UTC"


def _rows() -> Iterator[Row]:
    ring = keys.ring()
    for index, key in enumerate(ring):
        state = keys.state(key)
        yield {
            "kid": key.kid,
            "created_at": key.created_at,
            "state": state,
            "signs": state == "signing",
            "signs_from": key.signs_from,
            "expires_at": keys.expires_at(ring, index),
        }
