"""What is stored about a person, for that person."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from accounts import audit
from accounts.models import AuditEvent, OneTimeToken, Session, User
from accounts.signals import personal_data_wanted


@dataclass(frozen=True)
class PersonalData:
    user: User
    sessions: QuerySet[Session]
    audit: QuerySet[AuditEvent]
    one_time_tokens: QuerySet[OneTimeToken]
    of_others: dict[str, list[dict[str, Any]]]


def export(user: User) -> PersonalData:
    """All that is stored about the user; the other apps add what they hold, each under a name of its own."""
    audit.record("user:exported", user, actor=user)
    others: dict[str, list[dict[str, Any]]] = {}
    parts: list[tuple[Any, Any]] = personal_data_wanted.send(sender=User, user=user)
    for _receiver, part in parts:
        others |= part
    return PersonalData(
        user=user,
        sessions=user.sessions.order_by("-id"),
        audit=AuditEvent.objects.filter(Q(user_id=user.pk) | Q(actor_id=user.pk)).order_by("-id"),
        one_time_tokens=user.one_time_tokens.order_by("-id"),
        of_others=others,
    )
