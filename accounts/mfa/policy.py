"""Which users need a second factor, and since when. An enrolled factor is always asked for, whatever the policy."""

from datetime import datetime

from django.conf import settings
from django.utils import timezone

from accounts.errors import EnrolmentRequired
from accounts.models import User
from accounts.models.role import MfaPolicy


def is_required(user: User) -> bool:
    """Returns whether the user's role requires a second factor."""
    return user.role.mfa == MfaPolicy.REQUIRED


def due_at(user: User) -> datetime | None:
    """Returns when the user must have a second factor. None for a user who has one or needs none.

    The grace period begins with the first login while the role requires a factor: see login.open_session(). Until that
    login it has not begun.
    """
    if user.mfa_enabled or not is_required(user):
        return None
    return (grace_began_at(user) or timezone.now()) + settings.MFA_GRACE


def is_overdue(user: User) -> bool:
    """Returns whether the user must add a second factor before anything else. Every signed-in request asks this."""
    if user.mfa_enabled:
        return False
    if user.mfa_reset_at is not None:  # the grace period of the role does not postpone a reset
        return True
    due = due_at(user)
    return due is not None and due <= timezone.now()


def require_not_overdue(user: User) -> None:
    """Raises EnrolmentRequired if the user must add a second factor before anything else."""
    if is_overdue(user):
        raise EnrolmentRequired(members={"needs_mail": user.mfa_reset_at is not None})


def grace_began_at(user: User) -> datetime | None:
    """Returns the first login under the role's present policy. A time before the policy began doesn't count."""
    since, required_at = user.mfa_required_since, user.role.mfa_required_at
    return since if since and (required_at is None or since >= required_at) else None
