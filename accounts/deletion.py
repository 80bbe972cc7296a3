"""Deletes a user in slices, each a short transaction, so that other writers wait for one slice and not for all of them.

begin() locks the user out for good, in one transaction with the audit event. finish() deletes the rest, and the user's
row last. A process that dies between the two leaves the row with its `deletion_began_at`; `prune`, which the relay runs
every few minutes, finishes it.
"""

from datetime import datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from accounts import audit, credentials, pruning, tokens
from accounts.models import User
from accounts.signals import user_deleted, user_leaving

ABANDONED_AFTER = timedelta(minutes=10)  # before that, the process that began it may still be at work
OVERLAP = timedelta(minutes=5)  # for events of hosts whose clocks differ


def begin(user: User, *, actor: User | None) -> None:
    """Ends every way in. Call it within authority.changing(), and finish() after its transaction."""
    user.deletion_began_at = timezone.now()
    user.is_active, user.suspended_until, user.suspension_reason = False, None, ""
    user.password = make_password(None)
    user.save(
        update_fields=["deletion_began_at", "is_active", "suspended_until", "suspension_reason", "password"],
    )
    tokens.end_all(user)
    audit.record("user:deleted", user, actor=actor)


def finish(user: User) -> None:
    """Deletes all that is left of the user. Never call it in a transaction; it may be called again after a crash."""
    began = timezone.now()
    user_leaving.send(sender=User, user=user)
    pruning.delete(user.sessions.all())
    pruning.delete(user.one_time_tokens.all())
    audit.forget(user)
    _remove(user, began)


@transaction.atomic
def _remove(user: User, began: datetime) -> None:
    """The row, and what came while the slices went: an attempt to log in, an email."""
    if User.objects.select_for_update().filter(pk=user.pk).first() is None:
        return
    user_deleted.send(sender=User, user=user)
    credentials.forget_failures(user)
    audit.forget(user, since=began - OVERLAP)
    user.delete()


def finish_abandoned() -> int:
    """Finishes what a process that died began; returns how many users are gone."""
    abandoned = User.objects.filter(deletion_began_at__lt=timezone.now() - ABANDONED_AFTER)
    users = list(abandoned.order_by("deletion_began_at")[: pruning.AT_ONCE])
    for user in users:
        finish(user)
    return len(users)
