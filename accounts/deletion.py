"""Deletes a user in slices. Each slice is a short transaction, so other writers never wait for the whole deletion.

begin() locks the user out and writes the audit event, in one transaction. finish() deletes the rest, and the user's row
last. If the process dies between the two, the row keeps its `deletion_began_at`, and `prune` finishes the deletion. The
relay runs it every few minutes.
"""

from datetime import datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from accounts import audit, credentials, one_time_tokens, pruning
from accounts.mfa import pending_logins
from accounts.models import User
from accounts.signals import user_deleted, user_leaving

ABANDONED_AFTER = timedelta(minutes=10)  # until then, the process that began it may still be running
OVERLAP = timedelta(minutes=5)  # the clocks of two hosts may differ by this much


def begin(user: User, *, actor: User | None) -> None:
    """Locks the user out. Call it within authorization.locked_for_change(), and finish() after it."""
    user.deletion_began_at = timezone.now()
    user.is_active, user.suspended_until, user.suspension_reason = False, None, ""
    user.password = make_password(None)
    user.save(
        update_fields=["deletion_began_at", "is_active", "suspended_until", "suspension_reason", "password"],
    )
    one_time_tokens.end_all_and_invitation(user)
    pending_logins.end_all(user)
    audit.record("user:deleted", user, actor=actor)


def finish(user: User) -> None:
    """Deletes everything of the user. Never call it in a transaction. It can be called again after a crash."""
    began = timezone.now()
    user_leaving.send(sender=User, user=user)
    pruning.delete(user.sessions.all())
    pruning.delete(user.one_time_tokens.all())
    audit.erase_request_context(user)
    _delete_row(user, began)


@transaction.atomic
def _delete_row(user: User, began: datetime) -> None:
    """Deletes the row, and data stored during the deletion, such as an email or the event of a login attempt."""
    if User.objects.select_for_update().filter(pk=user.pk).first() is None:
        return
    user_deleted.send(sender=User, user=user)
    credentials.reset_login_limits(user)
    audit.erase_request_context(user, since=began - OVERLAP)
    user.delete()


def finish_abandoned() -> int:
    """Finishes the deletions of processes that died, and returns their number."""
    abandoned = User.objects.filter(deletion_began_at__lt=timezone.now() - ABANDONED_AFTER)
    users = list(abandoned.order_by("deletion_began_at")[: pruning.BATCH_SIZE])
    for user in users:
        finish(user)
    return len(users)
