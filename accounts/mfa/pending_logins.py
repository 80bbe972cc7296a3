"""Pending logins: the password was right, and the second factor is missing. The client holds an opaque `mfa_token`."""

import hashlib
import secrets

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts import pruning
from accounts.errors import InvalidCredentials, InvalidToken
from accounts.models import PendingLogin, User, constant_queries

TOKEN_BYTES = 32
MAX_ATTEMPTS = 5
MAX_PER_USER = 10
ENDED = _("This step is no longer valid. Please start again.")


@transaction.atomic(savepoint=False)
def begin(user: User, purpose: PendingLogin.Purpose) -> str:
    """Creates a pending login for a user whose password was checked. Returns its token, which is not stored.

    The oldest ones of the user end if there are more than MAX_PER_USER. Raises InvalidCredentials if, since the check,
    the user was suspended or deleted or got another password.
    """
    current = constant_queries.lock_user(user.pk)
    if current is None or not current.is_active or current.password != user.password:
        raise InvalidCredentials
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = timezone.now()
    PendingLogin.objects.create(
        user=user,
        purpose=purpose,
        digest=digest_of(token),
        password_mark=_password_mark(user),
        created_at=now,
        expires_at=now + settings.MFA_LOGIN_LIFETIME,
    )
    newest = PendingLogin.objects.filter(user=user).order_by("-created_at", "-id")
    PendingLogin.objects.filter(pk__in=list(newest.values_list("pk", flat=True)[MAX_PER_USER:])).delete()
    return token


def find(token: str, purpose: PendingLogin.Purpose) -> PendingLogin:
    """Returns the usable pending login of a token, with its user and their role. Raises InvalidToken.

    It is unusable once it expired or was used, after MAX_ATTEMPTS, and if the user was suspended or got another
    password.
    """
    usable = _usable().select_related("user__role").filter(digest=digest_of(token), purpose=purpose)
    pending = usable.first()
    if pending is None or not _is_for(pending, pending.user):
        raise InvalidToken(ENDED)
    return pending


def count_attempt(pending: PendingLogin) -> None:
    """Counts a proof before it is checked. Raises InvalidToken after MAX_ATTEMPTS, also if many arrive at once."""
    if not _usable().filter(pk=pending.pk).update(attempts=F("attempts") + 1):
        raise InvalidToken(ENDED)


def lock_user(pending: PendingLogin) -> User:
    """Locks and re-reads the user of a pending login. Raises InvalidToken if, since find(), they were suspended or
    deleted or got another password. Call it inside a transaction."""
    user = constant_queries.lock_user(pending.user_id)
    if user is None or not _is_for(pending, user):
        raise InvalidToken(ENDED)
    return user


def use_up(pending: PendingLogin) -> None:
    """Uses up the pending login by compare-and-set. Raises InvalidToken if another request was faster.

    Call it after lock_user(), inside the transaction of the login.
    """
    if not PendingLogin.objects.filter(pk=pending.pk, used_at=None).update(used_at=timezone.now()):
        raise InvalidToken(ENDED)


def end_all(user: User) -> None:
    """Ends all pending logins of the user."""
    PendingLogin.objects.filter(user=user).delete()


def digest_of(token: str) -> bytes:
    """Returns the digest that identifies the pending login of a token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def prune() -> int:
    """Deletes the expired pending logins. Returns how many."""
    return pruning.delete(PendingLogin.objects.filter(expires_at__lt=timezone.now()))


def _usable() -> QuerySet[PendingLogin]:
    return PendingLogin.objects.filter(used_at=None, expires_at__gt=timezone.now(), attempts__lt=MAX_ATTEMPTS)


def _is_for(pending: PendingLogin, user: User) -> bool:
    return user.is_active and constant_time_compare(bytes(pending.password_mark), _password_mark(user))


def _password_mark(user: User) -> bytes:
    return salted_hmac("accounts.mfa.pending_login", user.password, algorithm="sha256").digest()
