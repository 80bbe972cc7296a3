"""One-time tokens: issue() hands the secret out once, consume() takes it once; the database holds its hash alone."""

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from accounts import pruning
from accounts.addresses import canonical_email
from accounts.errors import InvalidToken
from accounts.models import OneTimeToken, User
from accounts.models.one_time_token import Purpose

SECRET_BYTES = 32

__all__ = [
    "Purpose",
    "Superseded",
    "consume",
    "end",
    "end_all",
    "end_mailed",
    "find",
    "find_also_used",
    "issue",
    "lifetime",
    "lock_also_used",
    "prune",
]


class Superseded(Exception):
    """A newer request was served already, or this one was made use of: the mail is no longer wanted."""


def lifetime(purpose: Purpose) -> timedelta:
    return {
        Purpose.VERIFY_EMAIL: settings.EMAIL_VERIFICATION_LIFETIME,
        Purpose.EMAIL_CHANGE: settings.EMAIL_VERIFICATION_LIFETIME,
        Purpose.PASSWORD_RESET: settings.PASSWORD_RESET_LIFETIME,
        Purpose.INVITATION: settings.INVITATION_LIFETIME,
    }[purpose]


def issue(user: User, purpose: Purpose, *, request: UUID, email: str) -> str:
    """A new secret for the user of this address.

    `request` names what is answered: tokens of one request live side by side, a newer request ends the older ones'.
    Requests are compared as UUIDs of version 7, which grow with time. Call it inside a transaction. Raises Superseded.
    """
    if not _lock(user.pk):
        raise User.DoesNotExist
    others = OneTimeToken.objects.filter(user=user, purpose=purpose)
    known = list(others.values_list("request", "used_at", "ended_at"))
    if any(other > request or (other == request and (used or ended)) for other, used, ended in known):
        raise Superseded
    if known:
        _end(others.exclude(request=request))
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
    """The token of a secret that may still be used. Raises InvalidToken; uses nothing up."""
    token = _living(secret, purpose)
    if token.used_at is not None:
        raise InvalidToken
    return token


def find_also_used(secret: str, purpose: Purpose) -> OneTimeToken:
    """As find(), but a token that was used already and has not expired is found too."""
    return _living(secret, purpose)


def lock_also_used(secret: str, purpose: Purpose) -> OneTimeToken:
    """As find_also_used(), and no other transaction uses the token until this one ends.

    Call it inside a transaction: PostgreSQL refuses a row lock outside one.
    """
    _lock(_living(secret, purpose).user_id)
    return _living(secret, purpose)


def consume(token: OneTimeToken) -> None:
    """Uses the token up, and ends all others of its purpose. Raises InvalidToken when somebody was faster.

    Call it inside the transaction of what the token permits.
    """
    _lock(token.user_id)
    now = timezone.now()
    living = OneTimeToken.objects.living().values("pk")
    unused = OneTimeToken.objects.filter(pk=token.pk, pk__in=living, used_at=None)
    if not unused.update(used_at=now):
        raise InvalidToken
    _end(OneTimeToken.objects.filter(user=token.user_id, purpose=token.purpose).exclude(pk=token.pk))


def end(user: User, purpose: Purpose) -> None:
    """Ends every token of the user for this purpose."""
    _end(OneTimeToken.objects.filter(user=user, purpose=purpose))


def end_all(user: User) -> None:
    """Ends every token of the user, and with it an invitation: after a new password or address, and on suspension."""
    _end(OneTimeToken.objects.filter(user=user))
    invited = User.objects.filter(pk=user.pk, invited_at__isnull=False, invitation_ended_at__isnull=True)
    invited.update(invitation_ended_at=timezone.now())


def end_mailed(user: User) -> None:
    """Ends the unused tokens that were mailed to the user. Call it with the user's row locked.

    It deletes them instead of marking them as ended: an email that is still pending, perhaps after a failed attempt,
    then gets a token of its own. An invitation stays open.
    """
    OneTimeToken.objects.filter(user=user, used_at=None).delete()


def prune() -> int:
    """Deletes what expired; returns how many."""
    return pruning.delete(OneTimeToken.objects.filter(expires_at__lt=timezone.now()))


def _lock(user_id: UUID) -> bool:
    """One at a time for a user, where rows can be locked; before any token's row, as everybody else does."""
    return User.objects.select_for_update().filter(pk=user_id).values_list("pk").first() is not None


def _living(secret: str, purpose: Purpose) -> OneTimeToken:
    living = OneTimeToken.objects.living().select_related("user__role")
    token = living.filter(digest=_digest(secret), purpose=purpose).first()
    if token is None or not token.user.is_active or not _is_for_address_of(token):
        raise InvalidToken
    return token


def _is_for_address_of(token: OneTimeToken) -> bool:
    return token.purpose == Purpose.EMAIL_CHANGE or canonical_email(token.email) == token.user.email_key


def _end(tokens: QuerySet[OneTimeToken]) -> None:
    tokens.filter(ended_at=None).update(ended_at=timezone.now())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
