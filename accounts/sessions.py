"""Sessions: open, rotate, revoke; one row a sign-in, and a refresh token that names the row and its generation.

The token is an HMAC over both, so the database holds nothing that could be used, and the successor of a token can be
computed again: whoever asks twice within the grace period gets the same one, and a session never has two families.
"""

import base64
import hmac
import time
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import audit, origin, pruning
from accounts.errors import TokenNotValid
from accounts.models import Session, User

LIVE_SESSIONS_PER_USER = 50
REMEMBERED_ROTATIONS = 100
NOTED_EVERY = timedelta(minutes=1)  # not with each request, which would make each of them write
TRUST_PERIOD = timedelta(days=30)
VERSION = 1
MAC_BYTES = 32
_LENGTH = 1 + 16 + 4 + MAC_BYTES


def open_session(user: User, *, lifetime: timedelta | None = None) -> tuple[Session, str]:
    """A new session of the user and its first refresh token; the oldest one ends when there are too many.

    It lasts for SESSION_LIFETIME unless another lifetime is given.
    """
    now = timezone.now()
    came_from = origin.current.get()
    session = Session.objects.create(
        user=user,
        created_at=now,
        last_used_at=now,
        expires_at=now + (lifetime or settings.SESSION_LIFETIME),
        idle_expires_at=now + settings.SESSION_IDLE_LIFETIME,
        ip=came_from.ip,
        user_agent=came_from.user_agent,
    )
    living = Session.objects.alive().filter(user=user).order_by("-last_used_at", "-id")
    _end(Session.objects.filter(pk__in=list(living.values_list("pk", flat=True)[LIVE_SESSIONS_PER_USER:])))
    audit.record("session:opened", user, actor=user, session=str(session.pk))
    return session, _refresh_token(session.pk, session.generation)


def rotate(refresh: str) -> tuple[Session, str]:
    """The session of a refresh token and the token's only successor.

    Raises TokenNotValid; a token that comes back after its grace period has ended its whole session by then
    (RFC 9700, section 4.14.2).
    """
    session, generation = read(refresh)
    successor = _refresh_token(session.pk, generation + 1)
    if generation == session.generation and _advance(session):
        return session, successor
    current, _generation = read(refresh)  # somebody else was faster, perhaps with logging out
    if _is_in_grace(current, generation):
        return current, successor
    if generation < current.generation:
        _end_after_reuse(current)
    raise TokenNotValid


def read(refresh: str) -> tuple[Session, int]:
    """The living session of a refresh token and the token's generation. Raises TokenNotValid; changes nothing."""
    session_id, generation = _parse(refresh)
    session = Session.objects.alive().select_related("user__role").filter(pk=session_id, user__is_active=True).first()
    if session is None or generation > session.generation:
        raise TokenNotValid
    return session, generation


def check(refresh: str) -> Session:
    """The living session of a refresh token that would be exchanged now. Raises TokenNotValid; changes nothing."""
    session, generation = read(refresh)
    if not _is_usable(session, generation):
        raise TokenNotValid
    return session


def find(session_id: UUID, user_id: UUID) -> Session:
    """The living session of an active user, with user and role: one row for each signed-in request.

    Raises TokenNotValid.
    """
    living = Session.objects.alive().select_related("user__role")
    session = living.filter(pk=session_id, user_id=user_id, user__is_active=True).first()
    if session is None:
        raise TokenNotValid
    return session


def note_use(session: Session) -> None:
    """Keeps a session without refresh tokens from ending as idle: that of the admin panel."""
    now = timezone.now()
    if now - session.last_used_at > NOTED_EVERY:
        living = Session.objects.alive().filter(pk=session.pk)
        living.update(last_used_at=now, idle_expires_at=now + settings.SESSION_IDLE_LIFETIME)


@transaction.atomic
def close(session: Session, *, actor: User | None) -> None:
    """Ends the session: its user logs out, or somebody else signs them out."""
    if _end(Session.objects.filter(pk=session.pk)):
        kind = "session:closed" if actor and actor.pk == session.user_id else "session:revoked"
        audit.record(kind, session.user_id, actor=actor, session=str(session.pk))


def close_with(refresh: str) -> None:
    """Ends the session of a refresh token: its user logs out, or a token comes back after its grace period, and then
    nobody can tell who holds it. Raises TokenNotValid.
    """
    session, generation = read(refresh)
    if _is_usable(session, generation):
        close(session, actor=session.user)
    else:
        _end_after_reuse(session)


@transaction.atomic
def revoke_all(user: User, *, actor: User | None, keep: Session | None = None) -> int:
    """Ends every session of the user but the one to keep; returns how many."""
    sessions = Session.objects.filter(user=user)
    ended = _end(sessions.exclude(pk=keep.pk) if keep else sessions)
    if ended:
        audit.record("session:all_revoked", user, actor=actor, sessions=ended)
    return ended


def note_move(session: Session) -> None:
    """Remembers that its user asked for another address here: when they have moved, this session goes on."""
    Session.objects.filter(user=session.user_id, is_moving=True).update(is_moving=False)
    Session.objects.filter(pk=session.pk).update(is_moving=True)


def moving(user: User) -> Session | None:
    """The session in which the user asked for another address."""
    return Session.objects.filter(user=user, is_moving=True).first()


def prune() -> int:
    """Deletes sessions that ended more than 30 days ago; returns how many.

    Until then they remember the addresses from which their user got in.
    """
    before = timezone.now() - TRUST_PERIOD
    ended = Q(expires_at__lt=before) | Q(idle_expires_at__lt=before) | Q(revoked_at__lt=before)
    return pruning.delete(Session.objects.filter(ended))


def has_got_in_from(user_id: UUID, ip: str | None) -> bool:
    """Whether the user logged in from this address, or its network in IPv6, within the last 30 days."""
    recent = Session.objects.filter(user=user_id, created_at__gt=timezone.now() - TRUST_PERIOD)
    if recent.filter(ip=ip).exists():
        return True
    known = recent.order_by().values_list("ip", flat=True).distinct()
    return origin.network(ip) in {origin.network(one) for one in known}


def _advance(session: Session) -> bool:
    """Compare-and-set on one table: of any number of callers with one token, exactly one gets True."""
    now = timezone.now()
    living = Session.objects.alive().filter(pk=session.pk, generation=session.generation)
    is_first = living.update(
        generation=session.generation + 1,
        rotations=[*_recent_rotations(session), time.time()][-REMEMBERED_ROTATIONS:],
        last_used_at=now,
        idle_expires_at=now + settings.SESSION_IDLE_LIFETIME,
    )
    return bool(is_first)


def _is_usable(session: Session, generation: int) -> bool:
    return generation == session.generation or _is_in_grace(session, generation)


def _is_in_grace(session: Session, generation: int) -> bool:
    """Whether the exchange of this generation for the next one was recent."""
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
    named = bytes([VERSION]) + session_id.bytes + generation.to_bytes(4, "big")
    return _encoded(named + _mac(named))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _parse(refresh: str) -> tuple[UUID, int]:
    try:
        raw = base64.b64decode(refresh + "=" * (-len(refresh) % 4), altchars=b"-_", validate=True)
    except ValueError as fault:  # binascii.Error is one
        raise TokenNotValid from fault
    named, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if (
        len(raw) != _LENGTH
        or _encoded(raw) != refresh
        or named[0] != VERSION
        or not hmac.compare_digest(mac, _mac(named))
    ):
        raise TokenNotValid
    return UUID(bytes=named[1:17]), int.from_bytes(named[17:], "big")


def _mac(named: bytes) -> bytes:
    return salted_hmac("accounts.sessions.refresh_token", named, algorithm="sha256").digest()
