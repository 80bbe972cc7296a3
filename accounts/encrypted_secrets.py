"""The secrets that the database holds encrypted: which keys they need, and their encryption with another key."""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts import encryption, pruning
from accounts.encryption import CannotDecrypt, UnusableKeys
from accounts.mfa import totp
from accounts.models import TotpSecret
from accounts.models.totp_secret import KEY_ID


class Outcome(NamedTuple):
    """How many secrets got the first key, and how many still have another, because they can't be decrypted."""

    changed: int
    left: int


def counts() -> dict[bytes, int]:
    """Returns how many secrets each key encrypts, by the id of the key."""
    return {key_id: _encrypted_with(key_id).count() for key_id in _key_ids()}


def missing_keys() -> list[str]:
    """Returns the ids, in hexadecimal, of the keys that have encrypted a secret and are missing.

    Creates the file of keys if there is none.
    """
    known = encryption.key_ids()
    return [key_id.hex() for key_id in _key_ids() if key_id not in known]


def require_keys() -> None:
    """Raises UnusableKeys if a secret was encrypted with a key that is missing."""
    missing = missing_keys()
    if missing:
        raise UnusableKeys(
            f"{encryption.location()} cannot be used: write also the key {', '.join(missing)}, which has encrypted "
            "stored secrets of authenticator apps."
        )


def reencrypt() -> Outcome:
    """Encrypts all secrets with the first key, in slices. After an interruption, the next call does the rest.

    Passes over rows that a request has locked, and comes back to them. It never waits for a request while it holds
    locks, so the two can't wait for each other.
    """
    done = 0
    while changed := sum(map(_reencrypt, _outdated_key_ids())):
        done += changed
    return Outcome(done, sum(_encrypted_with(key_id).count() for key_id in _outdated_key_ids()))


def users_left(limit: int) -> list[UUID]:
    """Returns the ids of some of the users whose secret still has another key than the first."""
    rows = (_encrypted_with(key_id).values_list("user_id", flat=True)[:limit] for key_id in _outdated_key_ids())
    return [user_id for ids in rows for user_id in ids][:limit]


def _reencrypt(key_id: bytes) -> int:
    return pruning.in_slices(_encrypted_with(key_id), _reencrypt_slice)


def _reencrypt_slice(rows: QuerySet[TotpSecret]) -> int:
    with transaction.atomic():
        return sum(map(_try_to_reencrypt, rows.select_for_update(skip_locked=True)))


def _try_to_reencrypt(row: TotpSecret) -> bool:
    try:
        return totp.reencrypt(row)
    except CannotDecrypt:
        return False


def _outdated_key_ids() -> list[bytes]:
    first = encryption.key_ids()[0]
    return [key_id for key_id in _key_ids() if key_id != first]


def _encrypted_with(key_id: bytes) -> QuerySet[TotpSecret]:
    return TotpSecret.objects.annotate(key_id=KEY_ID).filter(key_id=key_id)


def _key_ids() -> Iterator[bytes]:
    """Yields the ids of the keys in use. Each is one search in the index, however many secrets there are."""
    ids = TotpSecret.objects.annotate(key_id=KEY_ID).order_by("key_id").values_list("key_id", flat=True)
    found = ids.first()
    while found is not None:
        yield bytes(found)
        found = ids.filter(key_id__gt=bytes(found)).first()
