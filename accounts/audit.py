"""The audit trail: record() writes who did what to whom, in the transaction of the deed itself."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import audit_chain, origin, pruning
from accounts.models import AuditEvent, User
from accounts.models.audit_event import AuditEventQuerySet
from accounts.models.identifiers import first_id_of

RETENTION = timedelta(days=365)

KINDS = {
    "user:registered": _("Registered"),
    "user:registration_repeated": _("Registered again before the address was confirmed; the password was removed"),
    "user:created": _("Created by an administrator"),
    "user:invited": _("Invited"),
    "user:invitation_accepted": _("Accepted an invitation"),
    "user:invitation_revoked": _("An invitation was taken back"),
    "user:changed": _("Changed; data names the fields"),
    "user:role_changed": _("Was given another role; data holds the old and the new one"),
    "user:suspended": _("Suspended; data holds the end, if there is one"),
    "user:activated": _("Activated again; by nobody when a suspension was over"),
    "user:unlocked": _("Failed logins were forgotten"),
    "user:exported": _("Exported their own data"),
    "users:exported": _("A list of users was exported; data names the filters"),
    "user:deleted": _("Deleted"),
    "login:failed": _("A login failed; data holds the code of the refusal"),
    "limit:reached": _("A limit began to refuse; data holds its scope, and refusals until it ends leave no event"),
    "session:opened": _("Logged in"),
    "session:closed": _("Logged out"),
    "session:revoked": _("A session was ended by somebody"),
    "session:all_revoked": _("All sessions were ended"),
    "session:reuse_detected": _("An old refresh token came back; its session was ended"),
    "password:reset_requested": _("An administrator had a reset link mailed"),
    "password:reset": _("Password set with a mailed link"),
    "password:changed": _("Password changed"),
    "password:confirmation_failed": _("The current password, asked for once more, was wrong"),
    "email:verification_requested": _("An administrator had a confirmation link mailed"),
    "email:verified": _("Address confirmed"),
    "email:change_requested": _("Another address was asked for"),
    "email:changed": _("Address changed"),
    "role:created": _("Role created"),
    "role:changed": _("Role changed"),
    "role:deleted": _("Role removed"),
    "import:started": _("An import of users began, or went on after it was stopped"),
    "import:finished": _("An import of users ended; data says how many lines became what"),
    "mail:retried": _("Had a mail sent again; data names it"),
    "mail:cancelled": _("Cancelled a mail; data names it"),
    "key:rotated": _("A new signing key was made"),
    "key:revoked": _("A signing key was revoked"),
}

# The order in which the data of an event is shown. PostgreSQL's jsonb sorts keys by their length and keeps no order.
DATA_ORDER = (
    *("role", "old", "new", "reason", "until", "fields", "filters", "code", "scope", "session", "sessions"),
    *("permissions", "mail", "mail_kind", "kid", "lines_done", "created", "updated", "skipped", "rejected"),
    "warnings",
)

log = logging.getLogger(__name__)


def record(kind: str, user: User | UUID | None, *, actor: User | UUID | None, **data: Any) -> AuditEvent:
    """Writes one event; `kind` is one of KINDS, `data` holds no secret and nothing that names a person."""
    return record_all(kind, [user], actor=actor, **data)[0]


def record_all(
    kind: str, users: Iterable[User | UUID | None], *, actor: User | UUID | None, **data: Any
) -> list[AuditEvent]:
    """Writes an event for each of the users at once, as record() does for one."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of audit event: {kind}")
    came_from = origin.current.get()
    events = [
        AuditEvent(
            kind=kind,
            user_id=_id(user),
            actor_id=_id(actor),
            ip=came_from.ip,
            user_agent=came_from.user_agent,
            request_id=came_from.request_id,
            data=data,
        )
        for user in users
    ]
    audit_chain.append(events)
    transaction.on_commit(lambda: _log(events), robust=True)
    return events


def ordered(data: dict[str, Any]) -> dict[str, Any]:
    """The data of an event in the order of DATA_ORDER, then any other keys by name: the same on each database."""
    known = [name for name in DATA_ORDER if name in data]
    return {name: data[name] for name in (*known, *sorted(data.keys() - set(known)))}


def record_once(kind: str, user: User, *, actor: User | None, within: timedelta, **data: Any) -> None:
    """As record(), unless there is an event as recent as that with the same kind, user, actor, IP address and data.

    A user who changes the same thing in a loop would fill the disk otherwise. Call it while the user is locked.
    """
    newest = AuditEvent.objects.filter(user_id=user.pk, pk__gte=first_id_of(timezone.now() - within))
    same = newest.filter(kind=kind, actor_id=_id(actor), ip=origin.current.get().ip)
    if all(event.data != data for event in same):
        record(kind, user, actor=actor, **data)


def forget(user: User, *, since: datetime | None = None) -> None:
    """Blanks IP address, device and request id in the events of a user whose deletion has begun; the user's id stays.

    Works in slices. Each is a transaction of its own, unless the caller has opened one.
    """
    events = AuditEvent.objects.filter(origin_salt__gt="")
    if since is not None:
        events = events.filter(pk__gte=first_id_of(since))
    for theirs in (events.filter(actor_id=user.pk), events.filter(user_id=user.pk, actor_id=None)):
        pruning.in_slices(theirs, AuditEventQuerySet.forget_origin)


def may_see_origin(reader: User, event: AuditEvent) -> bool:
    """Whether the reader may know the address and the device that an event came from.

    What happened to somebody is shown to them, but not from where another person did it.
    """
    return event.actor_id in (None, reader.pk) or reader.has_perm("audit.view")


def prune() -> int:
    """Deletes events older than a year; returns how many."""
    return audit_chain.prune(timezone.now() - RETENTION)


def _log(events: list[AuditEvent]) -> None:
    """A copy for wherever the logs are kept, which nobody reaches through the database."""
    for event in events:
        place = f"{event.chain}:{event.position} {event.hash}"
        log.info("%s user=%s actor=%s id=%s link=%s", event.kind, event.user_id, event.actor_id, event.pk, place)


def _id(user: User | UUID | None) -> UUID | None:
    return user.pk if isinstance(user, User) else user
