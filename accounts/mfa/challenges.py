"""WebAuthn challenges: random, short-lived, and valid for one purpose of one client. Only the used ones are stored.

A challenge carries its purpose and its expiry, with an HMAC over both and over what it is bound to. So a request for
options writes no row, and two tabs of a browser don't replace each other's challenge.
"""

import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime
from enum import IntEnum
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import pruning
from accounts.models import Session, SpentChallenge

VERSION = 1
NONCE_BYTES = 16
EXPIRY_BYTES = 6  # milliseconds since 1970
MAC_BYTES = 32
LENGTH = 2 + EXPIRY_BYTES + NONCE_BYTES + MAC_BYTES


class ChallengePurpose(IntEnum):
    LOGIN = 1  # with a passkey alone
    SECOND_FACTOR = 2
    STEP_UP = 3
    REGISTRATION = 4


class Scope(NamedTuple):
    """What a challenge is for, and the session or pending login that it is bound to."""

    purpose: ChallengePurpose
    bound_to: bytes


ANONYMOUS = Scope(ChallengePurpose.LOGIN, b"anonymous")


def of_pending_login(digest: bytes) -> Scope:
    """Returns the scope of the second factor of a pending login, which the digest of its token identifies."""
    return Scope(ChallengePurpose.SECOND_FACTOR, digest)


def of_step_up(session: Session) -> Scope:
    """Returns the scope of a step-up in the session."""
    return Scope(ChallengePurpose.STEP_UP, session.pk.bytes)


def create(scope: Scope) -> bytes:
    """Returns a new challenge. It expires after MFA_LOGIN_LIFETIME."""
    expires_at = time.time() + settings.MFA_LOGIN_LIFETIME.total_seconds()
    expiry = int(expires_at * 1000).to_bytes(EXPIRY_BYTES, "big")
    content = bytes([VERSION, scope.purpose]) + expiry + secrets.token_bytes(NONCE_BYTES)
    return content + _mac(content, scope)


def is_valid(challenge: bytes, scope: Scope) -> bool:
    """Returns whether create() made the challenge for this scope and it has not expired. It may be spent."""
    content, mac = challenge[:-MAC_BYTES], challenge[-MAC_BYTES:]
    return (
        len(challenge) == LENGTH
        and hmac.compare_digest(mac, _mac(content, scope))
        and content[:2] == bytes([VERSION, scope.purpose])
        and timezone.now() < _expires_at(challenge)
    )


def is_spent(challenge: bytes) -> bool:
    """Returns whether the challenge was used. Only spend() decides it if two requests race."""
    return SpentChallenge.objects.filter(pk=_digest(challenge)).exists()


def spend(challenge: bytes) -> bool:
    """Marks a valid challenge as used. Of all requests with one challenge, exactly one gets True.

    Call it inside the transaction of what the challenge permits: if that fails, the challenge can be used again.
    """
    with connection.cursor() as cursor:
        expires_at = connection.ops.adapt_datetimefield_value(_expires_at(challenge))
        cursor.execute(_SPEND, [_digest(challenge), expires_at])
        return bool(cursor.rowcount)


def prune() -> int:
    """Deletes the used challenges that have expired, because is_valid() rejects them. Returns how many."""
    return pruning.delete(SpentChallenge.objects.filter(expires_at__lt=timezone.now()))


# A plain INSERT would fail for a used challenge, and PostgreSQL would write an error to its log.
_SPEND = """
INSERT INTO accounts_spentchallenge (digest, expires_at) VALUES (%s, %s) ON CONFLICT (digest) DO NOTHING
"""


def _expires_at(challenge: bytes) -> datetime:
    return datetime.fromtimestamp(int.from_bytes(challenge[2 : 2 + EXPIRY_BYTES], "big") / 1000, tz=UTC)


def _digest(challenge: bytes) -> str:
    return hashlib.sha256(challenge).hexdigest()


def _mac(content: bytes, scope: Scope) -> bytes:
    signed = content + bytes([scope.purpose]) + hashlib.sha256(scope.bound_to).digest()
    return salted_hmac("accounts.mfa.challenge", signed, algorithm="sha256").digest()
