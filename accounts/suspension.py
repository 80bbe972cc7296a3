"""Suspending somebody, for good or until a time.

`is_active` alone says whether somebody may log in, and everybody who asks reads it. An end does not change what it
means: whoever first notices that the time has come, the relay within a second or the user who logs in, sets it. The
other way, comparing the end with the clock wherever somebody asks, is one forgotten place away from two answers.

The reason may name people. It stands with the user and goes with them: what an audit event holds stays for a year.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import audit, sessions, tokens
from accounts.errors import AccountSuspended, InvalidInput
from accounts.models import AuditEvent, User
from accounts.signals import user_suspended

ENDED_AT_ONCE = 100  # by the relay, which has mails to see to
FIELDS = ("is_active", "suspended_until", "suspension_reason")


class Suspension(NamedTuple):
    """`since` and `actor` are None where the audit trail does not reach back so far; `until` where no end is set."""

    reason: str
    since: datetime | None
    until: datetime | None
    actor: UUID | None


def current(user: User) -> Suspension | None:
    """Why, since when, until when and by whom the user is suspended; None for somebody who is not."""
    if user.is_active:
        return None
    event = AuditEvent.objects.filter(user_id=user.pk, kind="user:suspended").order_by("-id").first()
    since, actor = (event.created_at, event.actor_id) if event else (None, None)
    return Suspension(user.suspension_reason, since, user.suspended_until, actor)


def check_end(until: datetime | None) -> None:
    """Raises InvalidInput for an end that is over."""
    if until is not None and until <= timezone.now():
        raise InvalidInput("until", "not_in_future", _("This time is over. Choose one that is to come."))


def begin(user: User, *, actor: User | None, reason: str, until: datetime | None) -> None:
    """Ends all sessions and mailed links of the user. Call it within authority.changing()."""
    user.is_active, user.suspended_until, user.suspension_reason = False, until, reason
    user.save(update_fields=FIELDS)
    end = {} if until is None else {"until": until.isoformat()}
    audit.record("user:suspended", user, actor=actor, **end)
    tokens.end_all(user)
    sessions.revoke_all(user, actor=actor)
    user_suspended.send(sender=User, user=user)


def end(user: User, *, actor: User | None) -> None:
    """Lets the user in again. Call it within authority.changing()."""
    user.is_active, user.suspended_until, user.suspension_reason = True, None, ""
    user.save(update_fields=FIELDS)
    audit.record("user:activated", user, actor=actor)


@transaction.atomic
def end_if_over(user: User) -> bool:
    """Lets the user in again if the time has come; returns whether they are active now.

    One conditional UPDATE decides: of several who notice one records it, and an end that was put off meanwhile stays.
    """
    now = timezone.now()
    if user.suspended_until is None or user.suspended_until > now:
        return user.is_active
    over = User.objects.filter(pk=user.pk, suspended_until__lte=now)
    if over.update(is_active=True, suspended_until=None, suspension_reason="", updated_at=now):
        audit.record("user:activated", user, actor=None)
    user.refresh_from_db(fields=[*FIELDS, "updated_at"])
    return user.is_active


def end_all_over(**_arguments: Any) -> None:
    """Lets in again all whose time has come, the relay's receiver of time_passed."""
    over = User.objects.filter(suspended_until__lte=timezone.now()).order_by("suspended_until")
    for user in over[:ENDED_AT_ONCE]:
        end_if_over(user)


def refusal(user: User) -> AccountSuspended:
    """What a suspended user is told, in the language of the request."""
    if user.suspended_until is None:
        return AccountSuspended()
    until = date_format(user.suspended_until, "DATETIME_FORMAT")
    return AccountSuspended(_("This account is suspended until %(time)s UTC.") % {"time": until})
