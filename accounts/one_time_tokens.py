"""One-time tokens: issue() returns the secret once, consume() accepts it once. The database stores only its hash."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.db.transaction import TransactionManagementError
from django.utils import timezone

from accounts import pruning
from accounts.email_addresses import canonical_email
from accounts.errors import InvalidToken
from accounts.models import OneTimeToken, User
from accounts.models.one_time_token import Purpose

SECRET_BYTES = 32

__all__ = [
    "Purpose",
    "Superseded",
    "consume",
    "delete_unused",
    "end",
    "end_all_and_invitation",
    "find",
    "find_including_used",
    "issue",
    "lifetime",
    "lock_including_used",
    "prune",
]


class Superseded(Exception):
    """A newer request has a token already, or a token of this request was used or ended: the email is obsolete."""


def lifetime(purpose: Purpose) -> timedelta:
    return {
        Purpose.VERIFY_EMAIL: settings.EMAIL_VERIFICATION_LIFETIME,
        Purpose.EMAIL_CHANGE: settings.EMAIL_VERIFICATION_LIFETIME,
        Purpose.PASSWORD_RESET: settings.PASSWORD_RESET_LIFETIME,
        Purpose.INVITATION: settings.INVITATION_LIFETIME,
        Purpose.SECOND_FACTOR: settings.MFA_ENROLMENT_LIFETIME,
    }[purpose]


def issue(user: User, purpose: Purpose, *, request: UUID, email: str) -> str:
    """Issues a token for the user, valid for this email address, and returns its secret.

    All tokens of one `request` work side by side. A newer request ends the tokens of older ones. Requests are UUIDs of
    version 7, which grow with time. Call it inside a transaction. Raises Superseded, or User.DoesNotExist if the user
    was deleted.
    """
    if not _lock(user.pk):
        raise User.DoesNotExist
    known = _requests(user.pk, purpose)
    if any(other > request or (other == request and is_done) for other, is_done in known):
        raise Superseded
    if known:
        _end(OneTimeToken.objects.filter(user=user, purpose=purpose).exclude(request=request))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    OneTimeToken.objects.create(
        user=user,
        purpose=purpose,
        email=email,
        request=request,
        digest=_digest(secret),
        expires_at=timezone.now() + lifetime(purpose),
    )
    return secret


def find(secret: str, purpose: Purpose) -> OneTimeToken:
    """Returns the usable token of a secret, and doesn't consume it. Raises InvalidToken."""
    token = find_including_used(secret, purpose)
    if token.used_at is not None:
        raise InvalidToken
    return token


def find_including_used(secret: str, purpose: Purpose) -> OneTimeToken:
    """Returns the token of a secret, even if it was used, until it expires or ends. Raises InvalidToken."""
    not_ended = OneTimeToken.objects.not_ended().select_related("user__role")
    token = not_ended.filter(digest=_digest(secret), purpose=purpose).first()
    if token is None or not token.user.is_active:
        raise InvalidToken
    if purpose != Purpose.EMAIL_CHANGE and canonical_email(token.email) != token.user.email_key:
        raise InvalidToken  # the user's address has changed since
    return token


def lock_including_used(secret: str, purpose: Purpose) -> OneTimeToken:
    """Locks the token's user and returns the token as find_including_used() does, so that no other transaction can
    consume it. Call it inside a transaction."""
    _lock(find_including_used(secret, purpose).user_id)
    return find_including_used(secret, purpose)


def consume(token: OneTimeToken) -> None:
    """Marks the token as used, and ends the user's other tokens of its purpose. Raises InvalidToken if another request
    was faster. Call it inside the transaction of the change that the token permits."""
    _lock(token.user_id)
    now = timezone.now()
    not_ended = OneTimeToken.objects.not_ended().values("pk")
    unused = OneTimeToken.objects.filter(pk=token.pk, pk__in=not_ended, used_at=None)
    if not unused.update(used_at=now):
        raise InvalidToken
    _end(OneTimeToken.objects.filter(user=token.user_id, purpose=token.purpose).exclude(pk=token.pk))


def end(user: User, *purposes: Purpose) -> None:
    """Ends all tokens of the user for these purposes."""
    _end(OneTimeToken.objects.filter(user=user, purpose__in=purposes))


def end_all_and_invitation(user: User) -> None:
    """Ends all tokens of the user, and their invitation. Call it when their password, address or status changes.

    Writes `invitation_ended_at` to the database, but not to the caller's object.
    """
    _end(OneTimeToken.objects.filter(user=user))
    invited = User.objects.filter(pk=user.pk, invited_at__isnull=False, invitation_ended_at__isnull=True)
    invited.update(invitation_ended_at=timezone.now())


def delete_unused(user: User) -> None:
    """Deletes the user's unused tokens. Call it with the user's row locked.

    If they were marked as ended, an email that is still pending, perhaps after a failed attempt, would get no token. An
    invitation stays open.
    """
    OneTimeToken.objects.filter(user=user, used_at=None).delete()


def prune() -> int:
    """Deletes the expired tokens. Returns how many."""
    return pruning.delete(OneTimeToken.objects.filter(expires_at__lt=timezone.now()))


# These run for each email with a link. Django needs ten times as long to build them.
_LOCK = "SELECT 1 FROM accounts_user WHERE id = %s"
_REQUESTS = (
    "SELECT request, used_at IS NOT NULL OR ended_at IS NOT NULL FROM accounts_onetimetoken"
    " WHERE user_id = %s AND purpose = %s"
)


def _lock(user_id: UUID) -> bool:
    """Locks the user's row, before any token's row: one order prevents deadlocks. Returns whether the user exists.

    On SQLite, the transaction has locked the whole database.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("a lock needs a transaction")
    with connection.cursor() as cursor:
        cursor.execute(_LOCK + " FOR UPDATE" * (connection.vendor == "postgresql"), [_stored_id(user_id)])
        return cursor.fetchone() is not None


def _requests(user_id: UUID, purpose: Purpose) -> list[tuple[UUID, bool]]:
    """Returns the request of each of the user's tokens, and whether the token was used or ended."""
    with connection.cursor() as cursor:
        cursor.execute(_REQUESTS, [_stored_id(user_id), purpose.value])
        return [(UUID(str(request)), bool(is_done)) for request, is_done in cursor.fetchall()]


def _stored_id(user_id: UUID) -> Any:
    return User._meta.pk.get_db_prep_value(user_id, connection)


def _end(tokens: QuerySet[OneTimeToken]) -> None:
    tokens.filter(ended_at=None).update(ended_at=timezone.now())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
