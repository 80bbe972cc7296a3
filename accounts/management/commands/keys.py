"""manage.py keys: manages the keys that sign access tokens, and those that encrypt secrets in the database."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from accounts import audit, encrypted_secrets, encryption
from accounts.encryption import UnusableKeys
from accounts.jwt import signing_keys
from accounts.management import arguments
from accounts.management.base import ActionsCommand, Row

COLUMNS = ("use", "kid", "created_at", "state", "signs", "signs_from", "expires_at", "encrypts", "secrets")
EMPTY_ROW: dict[str, Any] = dict.fromkeys(COLUMNS)
SHOWN_USERS = 20
KID = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


class Command(ActionsCommand):
    help = "Lists, rotates and revokes the keys that sign access tokens, and those that encrypt stored secrets."
    example = "keys rotate"

    def add_actions(self) -> None:
        listing = self.add_action(
            self.list,
            "list",
            "List the signing keys: the current one, the next one, and older ones whose tokens are still valid. List "
            "the encryption keys, and how many stored secrets each encrypts. No key itself is shown.",
            "keys list --json",
        )
        arguments.add_json(listing)
        self._add_rotate()
        revoking = self.add_action(
            self.revoke,
            "revoke",
            "Remove a compromised key. Its tokens are rejected at once; sessions continue.",
            f"keys revoke {KID}",
        )
        revoking.add_argument(
            "kid", metavar="KID", help="as `keys list` shows it; write -- before one that begins with -"
        )
        arguments.add_json(revoking)

    def list(self, *, as_json: bool, **_options: Any) -> None:
        self.print_rows(_rows(), COLUMNS, as_json=as_json)

    def _add_rotate(self) -> None:
        rotating = self.add_action(
            self.rotate,
            "rotate",
            "Create a signing key. It is published now, and signs once cached JWKS have it. Older tokens stay valid. "
            "With --encryption, create an encryption key and encrypt all stored secrets with it. Older keys are kept. "
            "If the keys are in ENCRYPTION_KEYS, it creates none, and encrypts with the first of them.",
            "keys rotate --encryption",
        )
        kinds = rotating.add_mutually_exclusive_group()
        kinds.add_argument(
            "--now",
            action="store_true",
            dest="is_at_once",
            help="sign with it at once; services that cached the JWKS may reject its tokens for some minutes",
        )
        kinds.add_argument(
            "--encryption", action="store_true", dest="is_encryption", help="rotate the encryption key instead"
        )
        rotating.add_argument(
            "--resume",
            action="store_true",
            dest="is_resumed",
            help="after --encryption was interrupted: create no key, and encrypt the rest with the newest one",
        )
        arguments.add_json(rotating)

    def handle(self, *positional: Any, **options: Any) -> None:
        try:
            super().handle(*positional, **options)
        except UnusableKeys as error:
            raise CommandError(str(error), returncode=arguments.USAGE_STATUS) from error

    def rotate(self, *, is_encryption: bool, is_resumed: bool, as_json: bool, **options: Any) -> None:
        if is_encryption:
            self._rotate_encryption_key(is_resumed=is_resumed, as_json=as_json)
        elif is_resumed:
            raise CommandError("--resume needs --encryption.", returncode=arguments.USAGE_STATUS)
        else:
            self._rotate_signing_key(as_json=as_json, **options)

    def _rotate_encryption_key(self, *, is_resumed: bool, as_json: bool) -> None:
        is_new = encryption.uses_file() and not is_resumed
        kid = self._add_encryption_key(as_json=as_json) if is_new else encryption.key_ids()[0].hex()
        changed, left = encrypted_secrets.reencrypt()
        if changed and not is_new:
            _record_rotation(kid)
        if as_json:
            self.print_row({"kid": kid, "changed": changed, "left": left}, as_json=True)
        elif changed:
            self.stdout.write(f"Re-encrypted {_secrets(changed)} with the {_description(kid)}.")
        elif not left:
            self.stdout.write(_nothing_to_do(kid, is_new=is_new))
        if left:
            raise CommandError(_explanation(left))

    def _add_encryption_key(self, *, as_json: bool) -> str:
        """Creates a key and returns its id. Prints it at once, because re-encrypting many secrets takes a while."""
        with transaction.atomic():  # comes first: without a database for the event, no key is created
            kid = encryption.add_key().hex()
            _record_rotation(kid)
        if not as_json:
            self.stdout.write(f"Created the key {kid}. It encrypts from now on.")
            self.stdout.flush()
        return kid

    def _rotate_signing_key(self, *, is_at_once: bool, as_json: bool, **_options: Any) -> None:
        with transaction.atomic():  # comes first: without a database for the event, no key is created
            key = signing_keys.rotate(at_once=is_at_once)
            audit.record("key:rotated", None, actor=None, kid=key.kid)
        if as_json:
            self.print_row({"kid": key.kid, "signs_from": key.signs_from}, as_json=True)
        elif is_at_once:
            self.stdout.write(f"Access tokens are signed with {key.kid} from now on.")
        else:
            self.stdout.write(
                f"{key.kid} is published now and signs access tokens from {key.signs_from:%Y-%m-%d %H:%M:%S} UTC on."
            )

    def revoke(self, *, kid: str, as_json: bool, **_options: Any) -> None:
        key = signing_keys.find(kid)
        if key is None:
            raise CommandError(f"There is no key {kid}.")
        with transaction.atomic():
            audit.record("key:revoked", None, actor=None, kid=kid)
            successor = signing_keys.revoke(key)
            if successor:
                audit.record("key:rotated", None, actor=None, kid=successor.kid)
        if as_json:
            self.print_row({"kid": kid, "successor": successor and successor.kid}, as_json=True)
            return
        self.stdout.write(
            f"{kid} is revoked. UserManager rejects its tokens from now on, and other services reject them once they"
        )
        self.stdout.write("fetch the JWKS again, within some minutes. Clients refresh their tokens; sessions continue.")
        if successor:
            self.stdout.write(f"Access tokens are signed with {successor.kid} from now on.")


def _rows() -> Iterator[Row]:
    yield from _signing_keys()
    yield from _encryption_keys()


def _signing_keys() -> Iterator[Row]:
    key_set = signing_keys.key_set()
    for index, key in enumerate(key_set):
        state = signing_keys.state(key)
        yield EMPTY_ROW | {
            "use": "signing",
            "kid": key.kid,
            "created_at": key.created_at,
            "state": state,
            "signs": state == "signing",
            "signs_from": key.signs_from,
            "expires_at": signing_keys.expires_at(key_set, index),
        }


def _encryption_keys() -> Iterator[Row]:
    """Yields the key that encrypts, the older ones, and those that are missing although secrets need them."""
    secrets = encrypted_secrets.counts()
    known = encryption.key_ids()
    for key_id in dict.fromkeys([*known, *secrets]):
        state = "encrypting" if key_id == known[0] else "decrypting" if key_id in known else "missing"
        yield EMPTY_ROW | {
            "use": "encryption",
            "kid": key_id.hex(),
            "state": state,
            "encrypts": state == "encrypting",
            "secrets": secrets.get(key_id, 0),
        }


def _record_rotation(kid: str) -> None:
    audit.record("key:rotated", None, actor=None, kid=kid, use="encryption")


def _secrets(number: int) -> str:
    return f"{number} stored secret{'' if number == 1 else 's'}"


def _description(kid: str) -> str:
    return f"key {kid}" if encryption.uses_file() else f"first key of ENCRYPTION_KEYS, {kid}"


def _nothing_to_do(kid: str, *, is_new: bool) -> str:
    if is_new:
        return "There are no stored secrets to re-encrypt."
    text = f"Nothing to do: no stored secret has another key than the {_description(kid)}."
    return text if encryption.uses_file() else f"{text} To rotate, write a new key there: see docs/security.md."


def _explanation(left: int) -> str:
    """Says in one line what to do about secrets that were left: first the remedy that loses nothing."""
    missing = ", ".join(encrypted_secrets.missing_keys())
    if missing:
        remedy = (
            f"Put the missing key {missing} back into {encryption.location()}, after the first key, and run the "
            "command again with --resume. Only if it is lost for good, their users need `users reset-mfa`"
        )
    else:
        remedy = (
            "Run the command again with --resume, because requests may have locked them. Those that are left then "
            "can't be decrypted, and their users need `users reset-mfa`"
        )
    users = ", ".join(map(str, encrypted_secrets.users_left(SHOWN_USERS)))
    return f"Not re-encrypted: {_secrets(left)}. {remedy}: {users}{', …' if left > SHOWN_USERS else ''}."
