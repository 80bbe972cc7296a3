"""What is stored about a person, for that person."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from accounts import audit, batches, throttling
from accounts.models import AuditEvent, OneTimeToken, Session, User
from accounts.signals import personal_data_wanted

Pages = Iterator[list[Any]]


@dataclass(frozen=True)
class PersonalData:
    """Each part comes in pages, the newest rows first, and is read while it is sent."""

    user: User
    sessions: Iterator[list[Session]]
    audit: Iterator[list[AuditEvent]]
    one_time_tokens: Iterator[list[OneTimeToken]]
    of_others: dict[str, Pages]


def export(user: User) -> PersonalData:
    """All that is stored about the user; the other apps add what they hold, each under a name of its own.

    The limit counts it before anything is read. Raises Throttled.
    """
    throttling.take([throttling.user_try(user, "export", settings.RATE_EXPORT)])
    exported = audit.record("user:exported", user, actor=user)
    others: dict[str, Pages] = {}
    parts: list[tuple[Any, Any]] = personal_data_wanted.send(sender=User, user=user)
    for _receiver, part in parts:
        others |= part
    events = AuditEvent.objects.filter(pk__lte=exported.pk)  # what happens meanwhile would have no end
    return PersonalData(
        user=user,
        sessions=batches.newest_first(user.sessions.all()),
        audit=batches.newest_first(events.filter(user_id=user.pk), events.filter(actor_id=user.pk)),
        one_time_tokens=batches.newest_first(user.one_time_tokens.all()),
        of_others=others,
    )
