"""Exports all data that is stored about a user, for that user."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from accounts import audit, batches
from accounts.limits import rate_limits
from accounts.mfa import factors, recovery_codes
from accounts.mfa.factors import Factor
from accounts.models import AuditEvent, OneTimeToken, Session, User
from accounts.signals import personal_data_requested

Pages = Iterator[list[Any]]


@dataclass(frozen=True)
class PersonalData:
    """The parts of an export. Iterators are read in pages while they are sent, newest rows first."""

    user: User
    factors: list[Factor]
    recovery_codes_left: int
    sessions: Iterator[list[Session]]
    audit: Iterator[list[AuditEvent]]
    one_time_tokens: Iterator[list[OneTimeToken]]
    from_other_apps: dict[str, Pages]


def export(user: User) -> PersonalData:
    """Returns all data about the user. Each other app adds its data under a name of its own.

    The rate limit counts the export before any data is read. Raises Throttled.
    """
    rate_limits.consume([rate_limits.user_attempt(user, "export", settings.RATE_EXPORT)])
    exported = audit.record("user:exported", user, actor=user)
    others: dict[str, Pages] = {}
    parts: list[tuple[Any, Any]] = personal_data_requested.send(sender=User, user=user)
    for _receiver, part in parts:
        others |= part
    # Without this bound, the export would also send the events that follow, and might never end.
    events = AuditEvent.objects.filter(pk__lte=exported.pk)
    return PersonalData(
        user=user,
        factors=factors.of_user(user),
        recovery_codes_left=recovery_codes.number_left(user),
        sessions=batches.newest_first(user.sessions.all()),
        audit=batches.newest_first(events.filter(user_id=user.pk), events.filter(actor_id=user.pk)),
        one_time_tokens=batches.newest_first(user.one_time_tokens.all()),
        from_other_apps=others,
    )
