"""Recovery codes: ten codes, each of which replaces the second factor once."""

import hashlib
import re
import secrets
from uuid import UUID

from django.utils import timezone

from accounts.errors import InvalidSecondFactor
from accounts.mfa.proofs import Proof
from accounts.models import RecoveryCode, User

NUMBER = 10
LENGTH = 24  # letters of five bits each: 120 bits, so a plain hash can't be reversed
GROUP = 4
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: without I, L, O and U
_ALIKE = str.maketrans("OIL", "011")
_CODE = re.compile(f"[{ALPHABET}]{{{LENGTH}}}")


def replace(user: User) -> list[str]:
    """Replaces the user's codes with new ones, and returns these. They can't be shown again.

    Call it inside a transaction that has locked the user.
    """
    codes = ["".join(secrets.choice(ALPHABET) for _letter in range(LENGTH)) for _code in range(NUMBER)]
    delete(user)
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(code)) for code in codes)
    return ["-".join(re.findall(f".{{{GROUP}}}", code)) for code in codes]


def delete(user: User) -> None:
    """Deletes the user's codes. Call it with the user's row locked."""
    RecoveryCode.objects.filter(user=user).delete()


def number_left(user: User) -> int:
    """Returns how many codes the user can still use."""
    return RecoveryCode.objects.filter(user=user, used_at=None).count()


def find_proof(user: User, text: str) -> Proof | None:
    """Returns the proof for an unused code of the user, in upper or lower case, with or without dashes."""
    code = text.strip().upper().replace("-", "").replace(" ", "").translate(_ALIKE)
    if not _CODE.fullmatch(code):
        return None
    found = RecoveryCode.objects.filter(user=user, digest=_digest(code), used_at=None).first()
    return Proof(("recovery", "mfa"), None, lambda: _use_up(user.pk, found.pk)) if found else None


def _use_up(user_id: UUID, row_id: int) -> None:
    """Uses up the code by compare-and-set. Of all requests with one code, exactly one succeeds."""
    unused = RecoveryCode.objects.filter(pk=row_id, user=user_id, used_at=None)
    if not unused.update(used_at=timezone.now()):
        raise InvalidSecondFactor


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("ascii")).digest()
