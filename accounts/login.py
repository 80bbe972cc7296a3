"""Logs a user in and out, and exchanges their refresh token."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import audit, authorization, credentials, sessions
from accounts.errors import EmailNotVerified, EnrolmentRequired, InvalidCredentials, SecondFactorRequired
from accounts.jwt import access_tokens
from accounts.mfa import passkey_options, pending_logins, policy, submitted_proofs
from accounts.mfa.proofs import PASSWORD, Proof
from accounts.models import PendingLogin, Session, User
from accounts.signals import second_factor_due, session_opened


class SignIn(NamedTuple):
    """A session with its access token and its refresh token."""

    session: Session
    access: str
    refresh: str

    @property
    def second_factor_due(self) -> datetime | None:
        """Returns when the user must have a second factor. None if they have one or need none."""
        return policy.due_at(self.session.user)


def log_in(email: str, password: str) -> SignIn:
    """Checks the password and opens a session. Raises the errors of credentials.check_password() and of
    begin_second_step_if_needed()."""
    user = credentials.check_password(email, password)
    begin_second_step_if_needed(user)
    return sign_in(user, PASSWORD)


def begin_second_step_if_needed(user: User) -> None:
    """Begins a pending login and raises SecondFactorRequired, or EnrolmentRequired, for a user whose password was right
    and who needs a second step. Raises EmailNotVerified if they can't add a factor."""
    if user.mfa_enabled:
        raise SecondFactorRequired(members=_begin_second_factor(user))
    if policy.is_overdue(user):
        raise EnrolmentRequired(members=begin_enrolment(user))


def begin_enrolment(user: User) -> dict[str, Any]:
    """Begins a pending login for a user who must add a second factor. Returns the members of EnrolmentRequired.

    Raises EmailNotVerified if the user can't add one.
    """
    if not user.email_verified:
        raise EmailNotVerified
    return _begin(user, PendingLogin.Purpose.ENROLMENT) | {"needs_mail": user.mfa_reset_at is not None}


def sign_in(user: User, proof: Proof, *, lifetime: timedelta | None = None) -> SignIn:
    """Opens a session and issues its tokens. Raises the errors of open_session()."""
    session, refresh = open_session(user, proof, lifetime=lifetime)
    return SignIn(session, access_tokens.issue(session), refresh)


@transaction.atomic
def open_session(user: User, proof: Proof, *, lifetime: timedelta | None = None) -> tuple[Session, str]:
    """Opens a session for a user who has proven `proof`, and records the login. Returns it with its refresh token.

    Every kind of login ends here. Raises InvalidCredentials if the user was suspended or got another password while the
    password was hashed, or if the proof contains no second factor although they have one, or must add one because an
    administrator reset theirs.
    """
    user.last_login_at = timezone.now()
    values: dict[str, Any] = {"last_login_at": user.last_login_at}
    begins_grace = policy.is_required(user) and not user.mfa_enabled and policy.grace_began_at(user) is None
    if begins_grace:
        values["mfa_required_since"] = user.mfa_required_since = user.last_login_at
    fresh = credentials.fresh_queryset(user)
    if not proof.has_second_factor:
        fresh = fresh.filter(mfa_enabled=False, mfa_reset_at=None)
    if not fresh.update(**values):
        raise InvalidCredentials
    session, refresh = sessions.create(user, proof, lifetime=lifetime)
    if begins_grace:
        _announce_grace(user)
    session_opened.send(sender=User, user=user, session=session)
    return session, refresh


def add_proof(session: Session, proof: Proof) -> SignIn:
    """Records that the user authenticated again in the session, and issues its new tokens.

    Raises TokenNotValid if the session has ended. Call it with the user's row locked.
    """
    refresh = sessions.record_step_up(session, proof)
    return SignIn(session, access_tokens.issue(session), refresh)


def refresh(token: str) -> SignIn:
    """Exchanges a refresh token for its successor. Raises TokenNotValid, and EnrolmentRequired."""
    session, successor = sessions.rotate(token)
    return SignIn(session, access_tokens.issue(session), successor)


def log_out(token: str) -> None:
    """Ends the session of a refresh token. Raises TokenNotValid."""
    sessions.close_by_refresh_token(token)


@transaction.atomic
def log_out_everywhere(user: User) -> None:
    """Ends all sessions and pending logins of the user. Raises TokenNotValid if they were suspended.

    Locks the user first, as a new second factor does, which ends the same sessions in another order. Without the lock,
    PostgreSQL would find a deadlock.
    """
    authorization.lock_oneself(user)
    sessions.revoke_all(user, actor=user)


def _begin_second_factor(user: User) -> dict[str, Any]:
    members, methods = _begin(user, PendingLogin.Purpose.LOGIN), submitted_proofs.available_methods(user)
    if "passkey" not in methods:
        return {**members, "methods": methods}
    digest = pending_logins.digest_of(members["mfa_token"])
    return {**members, "methods": methods, "passkey": passkey_options.for_second_factor(user, digest)}


@transaction.atomic
def _begin(user: User, purpose: PendingLogin.Purpose) -> dict[str, Any]:
    """Begins a pending login. Returns the members of the error that tells the client so."""
    token = pending_logins.begin(user, purpose)
    audit.record("login:pending", user, actor=None)
    return {"mfa_token": token, "expires_in": int(settings.MFA_LOGIN_LIFETIME.total_seconds())}


def _announce_grace(user: User) -> None:
    due = policy.due_at(user)
    if due is not None:
        audit.record("mfa:required", user, actor=None, until=due.isoformat())
        second_factor_due.send(sender=User, user=user, due=due)
