"""Codes of authenticator apps (TOTP, RFC 6238): SHA-1, six digits, steps of 30 s, one step of tolerance."""

import logging
import re
import secrets
from base64 import b32encode
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pyotp
from django.conf import settings
from django.utils import timezone

from accounts import encryption, pruning
from accounts.encryption import CannotDecrypt
from accounts.errors import InvalidSecondFactor, InvalidToken
from accounts.mfa import pending_logins
from accounts.mfa.proofs import Proof
from accounts.models import TotpSecret, User
from accounts.models.identifiers import new_id

SECRET_BYTES = 20  # 160 bits (RFC 4226, section 4)
STEP = timedelta(seconds=30)
TOLERANCE = 1  # steps before and after the current one (RFC 6238, section 5.2)
_CODE = re.compile(r"[0-9]{6}")
log = logging.getLogger(__name__)


def create(user: User, *, name: str) -> tuple[TotpSecret, str]:
    """Begins an enrolment. Returns its row and the secret in base32. An earlier one that was not finished ends.

    A confirmed secret works until confirm() replaces it.
    """
    secret, now = new_secret(), timezone.now()
    TotpSecret.objects.filter(user=user, confirmed_at=None).delete()
    row = _row(user.pk, secret, name=name, created_at=now, expires_at=now + settings.MFA_LOGIN_LIFETIME)
    row.save(force_insert=True)
    return row, in_base32(secret)


def confirmed(user_id: UUID, secret: bytes, *, name: str, at: datetime) -> TotpSecret:
    """Returns an authenticator app that was confirmed at this time. Encrypts its secret, and does not store the row."""
    return _row(user_id, secret, name=name, created_at=at, confirmed_at=at, expires_at=at)


def new_secret() -> bytes:
    """Returns a random secret."""
    return secrets.token_bytes(SECRET_BYTES)


def find_unconfirmed(user: User, factor_id: UUID) -> TotpSecret | None:
    """Returns the unfinished enrolment of this id, unless it has expired."""
    return TotpSecret.objects.filter(pk=factor_id, user=user, confirmed_at=None, expires_at__gt=timezone.now()).first()


def confirm(row: TotpSecret, code: str) -> bool:
    """Activates the secret in place of an older one. Returns False for a wrong code.

    Raises InvalidToken if another request was faster. Call it inside a transaction that has locked the user. The code's
    step is used up.
    """
    step = matching_step(row, code)
    if step is None:
        return False
    TotpSecret.objects.filter(user=row.user_id, confirmed_at__isnull=False).delete()
    row.confirmed_at = row.last_used_at = timezone.now()
    row.last_step = step
    unconfirmed = TotpSecret.objects.filter(pk=row.pk, confirmed_at=None)
    if not unconfirmed.update(confirmed_at=row.confirmed_at, last_used_at=row.last_used_at, last_step=step):
        raise InvalidToken(pending_logins.ENDED)
    return True


def find_proof(user: User, code: str) -> Proof | None:
    """Returns the proof for a right code of a later step than any used before. None for any other text."""
    row = TotpSecret.objects.filter(user=user, confirmed_at__isnull=False).first()
    step = matching_step(row, code) if row else None
    if row is None or step is None or step <= row.last_step:
        return None
    return Proof(("otp", "mfa"), row.pk, lambda: _use_up(row.pk, step))


def matching_step(row: TotpSecret, code: str) -> int | None:
    """Returns the time step of a right code. None for a wrong one, or for a secret that can't be decrypted."""
    digits = code.replace(" ", "")
    if not _CODE.fullmatch(digits):
        return None
    secret = read_secret(row)
    if secret is None:
        return None
    app = pyotp.TOTP(secret)
    now = int(timezone.now().timestamp()) // int(STEP.total_seconds())
    steps = range(now - TOLERANCE, now + TOLERANCE + 1)
    return next((step for step in steps if secrets.compare_digest(app.generate_otp(step), digits)), None)


def in_base32(secret: bytes) -> str:
    """Returns the secret as authenticator apps read it."""
    return b32encode(secret).decode("ascii")


def read_secret(row: TotpSecret) -> str | None:
    """Returns the secret in base32. None if it can't be decrypted."""
    try:
        return in_base32(encryption.decrypt(bytes(row.secret), bound_to=_bound_to(row.pk, row.user_id)))
    except CannotDecrypt as error:
        log.error("the TOTP secret %s cannot be decrypted: %s", row.pk, error)
        return None


def uri(user: User, secret: str) -> str:
    """Returns the otpauth:// address that authenticator apps read from a QR code."""
    issuer = str(settings.SITE_NAME).replace(":", "")  # the label has a colon between issuer and name
    return pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=issuer)


def prune() -> int:
    """Deletes the enrolments that were not finished in time. Returns how many."""
    return pruning.delete(TotpSecret.objects.filter(confirmed_at=None, expires_at__lt=timezone.now()))


def reencrypt(row: TotpSecret) -> bool:
    """Encrypts the secret with the first key, by compare-and-set. Returns False if it changed meanwhile.

    Raises CannotDecrypt.
    """
    stored, bound_to = bytes(row.secret), _bound_to(row.pk, row.user_id)
    raw = encryption.decrypt(stored, bound_to=bound_to)
    unchanged = TotpSecret.objects.filter(pk=row.pk, secret=stored)
    return bool(unchanged.update(secret=encryption.encrypt(raw, bound_to=bound_to)))


def _use_up(row_id: UUID, step: int) -> None:
    """Uses up the step by compare-and-set. Of all requests with one code, exactly one succeeds."""
    earlier = TotpSecret.objects.filter(pk=row_id, confirmed_at__isnull=False, last_step__lt=step)
    if not earlier.update(last_step=step, last_used_at=timezone.now()):
        raise InvalidSecondFactor


def _row(user_id: UUID, secret: bytes, **fields: Any) -> TotpSecret:
    row_id = new_id()
    stored = encryption.encrypt(secret, bound_to=_bound_to(row_id, user_id))
    return TotpSecret(id=row_id, user_id=user_id, secret=stored, **fields)


def _bound_to(row_id: UUID, user_id: UUID) -> bytes:
    return row_id.bytes + user_id.bytes
