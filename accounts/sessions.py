"""Creates, rotates and ends sessions: one row per login, and a refresh token with the row's id and generation.

The token is authenticated by an HMAC over both, so the database holds nothing that an attacker could use. The successor
of a token can be computed again: a client that repeats a token within the grace period gets the same successor, and a
session never has two families of tokens.
"""

import base64
import hmac
import time
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import audit, pruning, request_context
from accounts.errors import TokenNotValid
from accounts.mfa import pending_logins, policy
from accounts.mfa.proofs import Proof
from accounts.models import Session, User, constant_queries

MAX_SESSIONS_PER_USER = 50
MAX_STORED_ROTATIONS = 100
RECORD_USE_EVERY = timedelta(minutes=1)  # recording each request would make each of them write
TRUST_PERIOD = timedelta(days=30)
VERSION = 1
MAC_BYTES = 32
_LENGTH = 1 + 16 + 4 + MAC_BYTES


def create(user: User, proof: Proof, *, lifetime: timedelta | None = None) -> tuple[Session, str]:
    """Creates a session of a user who has proven `proof`. It lasts for `lifetime` or SESSION_LIFETIME. Returns it with
    its refresh token.

    Ends the sessions that were used longest ago if the user has more than MAX_SESSIONS_PER_USER.
    """
    now = timezone.now()
    context = request_context.current.get()
    session = Session.objects.create(
        user=user,
        created_at=now,
        last_used_at=now,
        expires_at=now + (lifetime or settings.SESSION_LIFETIME),
        idle_expires_at=now + settings.SESSION_IDLE_LIFETIME,
        ip=context.ip,
        user_agent=context.user_agent,
        amr=" ".join(proof.amr),
        last_factor=proof.factor,
    )
    active = Session.objects.active().filter(user=user).order_by("-last_used_at", "-id")
    _end(Session.objects.filter(pk__in=list(active.values_list("pk", flat=True)[MAX_SESSIONS_PER_USER:])))
    audit.record("session:opened", user, actor=user, session=str(session.pk))
    return session, _refresh_token(session.pk, session.generation)


def rotate(refresh: str) -> tuple[Session, str]:
    """Exchanges a refresh token for its only successor. Returns the session and the successor.

    Raises TokenNotValid, and EnrolmentRequired before anything changes. A token that is used again after its grace
    period ends the whole session (RFC 9700, section 4.14.2).
    """
    session, generation = read_refresh_token(refresh)
    policy.require_not_overdue(session.user)
    successor = _refresh_token(session.pk, generation + 1)
    if generation == session.generation:
        if _advance(session):
            return session, successor
        session = _find_active(session.pk)  # another request was faster, perhaps a logout
    if _is_in_grace(session, generation):
        return session, successor
    if generation < session.generation:
        _end_after_reuse(session)
    raise TokenNotValid


def record_step_up(session: Session, proof: Proof) -> str:
    """Records that the user authenticated again in this session, and returns its new refresh token.

    The older refresh tokens no longer work, not even within the grace period: a thief who has one would get an access
    token of the higher level. Hence the generation skips one, which a request that runs now may be about to return.
    Raises TokenNotValid if the session has ended. Call it with the user's row locked.
    """
    current = Session.objects.active().select_for_update().filter(pk=session.pk).first()
    if current is None:
        raise TokenNotValid
    session.amr = " ".join(dict.fromkeys([*current.methods, *proof.amr]))
    session.generation, session.rotations = current.generation + 2, []
    session.stepped_up_at, session.last_factor = timezone.now(), proof.factor
    session.save(update_fields=["amr", "generation", "rotations", "stepped_up_at", "last_factor"])
    audit.record("session:stepped_up", session.user_id, actor=session.user, session=str(session.pk))
    return _refresh_token(session.pk, session.generation)


def read_refresh_token(refresh: str) -> tuple[Session, int]:
    """Returns the active session of a refresh token, and the token's generation. Raises TokenNotValid."""
    session_id, generation = _parse(refresh)
    session = _find_active(session_id)
    if generation > session.generation:
        raise TokenNotValid
    return session, generation


def find_by_refresh_token(refresh: str) -> Session:
    """Returns the active session of a refresh token that rotate() would accept. Raises TokenNotValid."""
    session, generation = read_refresh_token(refresh)
    if not _is_usable(session, generation):
        raise TokenNotValid
    return session


def find(session_id: UUID, user_id: UUID) -> Session:
    """Returns the active session of this active user, with user and role, in one query. Raises TokenNotValid."""
    session = _find_active(session_id)
    if session.user_id != user_id:
        raise TokenNotValid
    return session


def record_use(session: Session) -> None:
    """Postpones the idle expiry of a session without refresh token, as in the admin panel, at most once a minute."""
    now = timezone.now()
    if now - session.last_used_at > RECORD_USE_EVERY:
        active = Session.objects.active().filter(pk=session.pk)
        active.update(last_used_at=now, idle_expires_at=now + settings.SESSION_IDLE_LIFETIME)


@transaction.atomic(savepoint=False)
def close(session: Session, *, actor: User | None) -> None:
    """Ends the session, because its user logs out or an administrator revokes it."""
    if _end(Session.objects.filter(pk=session.pk)):
        kind = "session:closed" if actor and actor.pk == session.user_id else "session:revoked"
        audit.record(kind, session.user_id, actor=actor, session=str(session.pk))


def close_by_refresh_token(refresh: str) -> None:
    """Ends the session of a refresh token. Raises TokenNotValid.

    A token that is used after its grace period is recorded as reuse, because it may be stolen.
    """
    session, generation = read_refresh_token(refresh)
    if _is_usable(session, generation):
        close(session, actor=session.user)
    else:
        _end_after_reuse(session)


@transaction.atomic(savepoint=False)
def revoke_all(user: User, *, actor: User | None, keep: Session | None = None) -> int:
    """Ends all sessions of the user except `keep`, and all pending logins. Returns how many sessions."""
    pending_logins.end_all(user)
    sessions = Session.objects.filter(user=user)
    ended = _end(sessions.exclude(pk=keep.pk) if keep else sessions)
    if ended:
        audit.record("session:all_revoked", user, actor=actor, sessions=ended)
    return ended


def end_those_proven_with(user: User, factor: UUID | None) -> int:
    """Ends the sessions of the user whose last proof was this factor; for None, all with any second factor. Returns how
    many."""
    proven = Session.objects.active().filter(user=user)
    return _end(proven.filter(last_factor=factor) if factor else proven.filter(amr__contains="mfa"))


def mark_survives_email_change(session: Session) -> None:
    """Marks this session of its user, and no other, as the one that survives the requested email change."""
    Session.objects.filter(user=session.user_id, is_moving=True).update(is_moving=False)
    Session.objects.filter(pk=session.pk).update(is_moving=True)


def find_survivor_of_email_change(user: User) -> Session | None:
    """Returns the session in which the user requested an email change, or None."""
    return Session.objects.filter(user=user, is_moving=True).first()


def prune() -> int:
    """Deletes sessions that ended more than 30 days ago. Returns how many.

    Until then, they show from which networks their user has logged in.
    """
    before = timezone.now() - TRUST_PERIOD
    ended = Q(expires_at__lt=before) | Q(idle_expires_at__lt=before) | Q(revoked_at__lt=before)
    return pruning.delete(Session.objects.filter(ended))


def has_recent_login_from(user_id: UUID, ip: str | None) -> bool:
    """Returns whether the user logged in from this IPv4 address or this IPv6 network within the last 30 days."""
    recent = Session.objects.filter(user=user_id, created_at__gt=timezone.now() - TRUST_PERIOD)
    if recent.filter(ip=ip).exists():
        return True
    known = recent.order_by().values_list("ip", flat=True).distinct()
    return request_context.network(ip) in {request_context.network(one) for one in known}


def _find_active(session_id: UUID) -> Session:
    session = constant_queries.read_session(session_id)
    if session is None or not session.is_active or not session.user.is_active:
        raise TokenNotValid
    if session.user.mfa_enabled and session.acr != "aal2":  # a host with an older version has opened it
        raise TokenNotValid
    return session


def _advance(session: Session) -> bool:
    """Increments the generation by compare-and-set. Of all callers with one token, exactly one gets True."""
    now = timezone.now()
    values = {
        "rotations": [*_recent_rotations(session), time.time()][-MAX_STORED_ROTATIONS:],
        "last_used_at": now,
        "idle_expires_at": now + settings.SESSION_IDLE_LIFETIME,
        "id": session.pk,
        "generation": session.generation,
    }
    fields = {field.name: field for field in Session._meta.concrete_fields}
    stored = {name: fields[name].get_db_prep_save(value, connection) for name, value in values.items()}
    with connection.cursor() as cursor:
        cursor.execute(_ADVANCE, stored)
        return bool(cursor.rowcount)


# As plain SQL it takes a fifth of the time that it takes when Django builds it for each request.
_ADVANCE = """
UPDATE accounts_session SET generation = generation + 1, rotations = %(rotations)s, last_used_at = %(last_used_at)s,
    idle_expires_at = %(idle_expires_at)s
WHERE id = %(id)s AND generation = %(generation)s
    AND revoked_at IS NULL AND expires_at > %(last_used_at)s AND idle_expires_at > %(last_used_at)s
"""


def _is_usable(session: Session, generation: int) -> bool:
    return generation == session.generation or _is_in_grace(session, generation)


def _is_in_grace(session: Session, generation: int) -> bool:
    """Returns whether this generation was exchanged for the next one within the grace period."""
    return 0 < session.generation - generation <= len(_recent_rotations(session))


def _recent_rotations(session: Session) -> list[float]:
    since = time.time() - settings.REFRESH_GRACE.total_seconds()
    return [moment for moment in session.rotations if moment > since]


@transaction.atomic
def _end_after_reuse(session: Session) -> None:
    if _end(Session.objects.filter(pk=session.pk)):
        audit.record("session:reuse_detected", session.user_id, actor=None, session=str(session.pk))


def _end(sessions: QuerySet[Session]) -> int:
    return sessions.filter(revoked_at=None).update(revoked_at=timezone.now())


def _refresh_token(session_id: UUID, generation: int) -> str:
    payload = bytes([VERSION]) + session_id.bytes + generation.to_bytes(4, "big")
    return _encoded(payload + _mac(payload))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _parse(refresh: str) -> tuple[UUID, int]:
    try:
        raw = base64.b64decode(refresh + "=" * (-len(refresh) % 4), altchars=b"-_", validate=True)
    except ValueError as error:  # binascii.Error is one
        raise TokenNotValid from error
    payload, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if (
        len(raw) != _LENGTH
        or _encoded(raw) != refresh
        or payload[0] != VERSION
        or not hmac.compare_digest(mac, _mac(payload))
    ):
        raise TokenNotValid
    return UUID(bytes=payload[1:17]), int.from_bytes(payload[17:], "big")


def _mac(payload: bytes) -> bytes:
    return salted_hmac("accounts.sessions.refresh_token", payload, algorithm="sha256").digest()
