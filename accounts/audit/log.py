"""The audit trail: record() writes who did what to whom, in the transaction of the change itself."""

import json
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from accounts import pruning, request_context
from accounts.audit import chain
from accounts.audit.kinds import KINDS
from accounts.models import AuditEvent, User
from accounts.models.audit_event import AuditEventQuerySet
from accounts.models.identifiers import first_id_at

RETENTION = timedelta(days=365)
SAME_CHANGE = timedelta(minutes=1)  # identical changes within this time make one audit event

log = logging.getLogger("accounts.audit")  # operators filter their logs by this name


def record(kind: str, user: User | UUID | None, *, actor: User | UUID | None, **data: Any) -> AuditEvent:
    """Writes one event; `kind` is one of KINDS, `data` must hold no secrets and no personal data."""
    return record_all(kind, [user], actor=actor, **data)[0]


def record_all(
    kind: str, users: Iterable[User | UUID | None], *, actor: User | UUID | None, **data: Any
) -> list[AuditEvent]:
    """Writes an event for each of the users, with one query for all."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of audit event: {kind}")
    context = request_context.current.get()
    events = [
        AuditEvent(
            kind=kind,
            user_id=_id(user),
            actor_id=_id(actor),
            ip=context.ip,
            user_agent=context.user_agent,
            request_id=context.request_id,
            data=data,
        )
        for user in users
    ]
    chain.append(events)
    transaction.on_commit(lambda: _log(events), robust=True)
    return events


def record_once(kind: str, user: User, *, actor: User | None, **data: Any) -> None:
    """Writes one event, unless one of the last SAME_CHANGE has the same kind, user, actor, IP address and data.

    Otherwise, a user who repeats a change in a loop would fill the disk. Call it while the user is locked.
    """
    values = {
        "user_id": user.pk,
        "id": first_id_at(timezone.now() - SAME_CHANGE),
        "kind": kind,
        "actor_id": _id(actor),
        "ip": request_context.current.get().ip,
    }
    if data not in _data_of_same(values):
        record(kind, user, actor=actor, **data)


def _data_of_same(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the data of the events from this id on that have the other values."""
    fields = {field.name: field for field in AuditEvent._meta.concrete_fields}
    stored = {name: fields[name].get_db_prep_value(value, connection) for name, value in values.items()}
    is_same = "IS" if connection.vendor == "sqlite" else "IS NOT DISTINCT FROM"
    with connection.cursor() as cursor:
        cursor.execute(_SAME.format(is_same=is_same), stored)
        return [json.loads(data) for (data,) in cursor.fetchall()]


# It runs for each change of one's own account. Django needs five times as long to build it.
_SAME = (
    "SELECT data FROM accounts_auditevent WHERE user_id = %(user_id)s AND id >= %(id)s AND kind = %(kind)s"
    " AND actor_id {is_same} %(actor_id)s AND ip {is_same} %(ip)s"
)


def erase_request_context(user: User, *, since: datetime | None = None) -> None:
    """Blanks IP address, device and request id in the events of a user whose deletion has begun; the user's id stays.

    Works in slices. Each is a transaction of its own, unless the caller has opened one.
    """
    events = AuditEvent.objects.filter(origin_salt__gt="")
    if since is not None:
        events = events.filter(pk__gte=first_id_at(since))
    for theirs in (events.filter(actor_id=user.pk), events.filter(user_id=user.pk, actor_id=None)):
        pruning.in_slices(theirs, AuditEventQuerySet.erase_request_context)


def may_see_request_context(reader: User, event: AuditEvent) -> bool:
    """Returns whether the reader may see the IP address and the device of an event.

    Users see the events of their account, but not from where another user acted on it.
    """
    return event.actor_id in (None, reader.pk) or reader.has_perm("audit.view")


def prune() -> int:
    """Deletes events older than a year; returns how many."""
    return chain.prune(timezone.now() - RETENTION)


def _log(events: list[AuditEvent]) -> None:
    """Copies the events to the log, which an attacker can't change through the database."""
    for event in events:
        link = f"{event.chain}:{event.position} {event.hash}"
        log.info("%s user=%s actor=%s id=%s link=%s", event.kind, event.user_id, event.actor_id, event.pk, link)


def _id(user: User | UUID | None) -> UUID | None:
    return user.pk if isinstance(user, User) else user
