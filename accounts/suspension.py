"""Suspends users, until a time or until an administrator activates them.

`is_active` alone says whether a user may log in. When a suspension expires, the relay sets `is_active` within a second,
or the user's next login does. The alternative is to compare `suspended_until` with the clock wherever code reads
`is_active`. One forgotten comparison would then give a different answer.

The reason may name people. It is stored with the user and deleted with them; an audit event would keep it for a year.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import audit, one_time_tokens, sessions
from accounts.errors import AccountSuspended, InvalidInput
from accounts.models import AuditEvent, User
from accounts.signals import user_suspended

BATCH_SIZE = 100  # per round of the relay, which must go on sending emails
FIELDS = ("is_active", "suspended_until", "suspension_reason")


class Suspension(NamedTuple):
    """`since` and `actor` are None if the audit trail has no event of it. `until` is None if no end is set."""

    reason: str
    since: datetime | None
    until: datetime | None
    actor: UUID | None


def current(user: User) -> Suspension | None:
    """Returns why, since when, until when and by whom the user is suspended. None if they aren't."""
    if user.is_active:
        return None
    event = AuditEvent.objects.filter(user_id=user.pk, kind="user:suspended").order_by("-id").first()
    since, actor = (event.created_at, event.actor_id) if event else (None, None)
    return Suspension(user.suspension_reason, since, user.suspended_until, actor)


def validate_end(until: datetime | None) -> None:
    """Raises InvalidInput for an end in the past."""
    if until is not None and until <= timezone.now():
        raise InvalidInput("until", "not_in_future", _("Choose a time in the future."))


def begin(user: User, *, actor: User | None, reason: str, until: datetime | None) -> None:
    """Suspends the user. Ends their sessions, pending logins and emailed links. Call it within locked_for_change()."""
    user.is_active, user.suspended_until, user.suspension_reason = False, until, reason
    user.save(update_fields=FIELDS)
    end = {} if until is None else {"until": until.isoformat()}
    audit.record("user:suspended", user, actor=actor, **end)
    one_time_tokens.end_all_and_invitation(user)
    sessions.revoke_all(user, actor=actor)
    user_suspended.send(sender=User, user=user)


def end(user: User, *, actor: User | None) -> None:
    """Ends the suspension of the user. Call it within locked_for_change()."""
    user.is_active, user.suspended_until, user.suspension_reason = True, None, ""
    user.save(update_fields=FIELDS)
    audit.record("user:activated", user, actor=actor)


@transaction.atomic
def end_if_expired(user: User) -> bool:
    """Ends the suspension if its time has passed. Returns whether the user is active now.

    A conditional UPDATE decides. So one of several concurrent callers records the event, and an end that was postponed
    meanwhile stays.
    """
    now = timezone.now()
    if user.suspended_until is None or user.suspended_until > now:
        return user.is_active
    expired = User.objects.filter(pk=user.pk, suspended_until__lte=now)
    if expired.update(is_active=True, suspended_until=None, suspension_reason="", updated_at=now):
        audit.record("user:activated", user, actor=None)
    user.refresh_from_db(fields=[*FIELDS, "updated_at"])
    return user.is_active


def end_expired(**_arguments: Any) -> None:
    """Ends the suspensions whose time has passed. Receives the relay's signal time_passed."""
    expired = User.objects.filter(suspended_until__lte=timezone.now()).order_by("suspended_until")
    for user in expired[:BATCH_SIZE]:
        end_if_expired(user)


def error_of(user: User) -> AccountSuspended:
    """Returns the error that a suspended user gets, in the language of the request."""
    if user.suspended_until is None:
        return AccountSuspended()
    until = date_format(user.suspended_until, "DATETIME_FORMAT")
    return AccountSuspended(_("This account is suspended until %(time)s UTC.") % {"time": until})
