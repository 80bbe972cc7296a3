"""Finishes a login with the second factor, and lets a signed-in user authenticate again for sensitive actions."""

from datetime import timedelta

from django.db import transaction

from accounts import audit, authorization, credentials, login
from accounts.errors import InvalidCredentials, InvalidSecondFactor
from accounts.login import SignIn
from accounts.mfa import attempts, challenges, pending_logins, recovery_codes, submitted_proofs
from accounts.mfa.proofs import PASSWORD, Proof
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import PendingLogin, Session, User
from accounts.signals import recovery_code_used


def finish_login(mfa_token: str, submitted: SubmittedProof, *, lifetime: timedelta | None = None) -> SignIn:
    """Opens a session for a pending login whose second factor is right. It lasts for `lifetime` or SESSION_LIFETIME.

    Raises InvalidToken for a pending login that is unknown, expired or used up, EmailNotVerified if the user's address
    is no longer confirmed but has to be, Throttled and InvalidSecondFactor.
    Each attempt is counted before it is checked.
    """
    pending = pending_logins.find(mfa_token, PendingLogin.Purpose.LOGIN)
    credentials.reject_unless_may_log_in(pending.user)
    with attempts.counted(pending.user, submitted.method, follows_password=True):
        pending_logins.count_attempt(pending)
        proof = submitted_proofs.check(pending.user, submitted, challenges.of_pending_login(bytes(pending.digest)))
        with transaction.atomic():
            user = pending_logins.lock_user(pending)
            pending_logins.use_up(pending)
            _use_up(proof, user)
            return login.sign_in(user, proof.after_password(), lifetime=lifetime)


def step_up(session: Session, submitted: SubmittedProof) -> SignIn:
    """Records a fresh login in the session of a user who has a second factor, and returns new tokens.

    Raises InvalidSecondFactor, also for a user who has none, Throttled, TokenNotValid.
    """
    if not session.user.mfa_enabled:
        raise InvalidSecondFactor
    with attempts.counted(session.user, submitted.method):
        proof = submitted_proofs.check(session.user, submitted, challenges.of_step_up(session))
        with transaction.atomic():
            user = authorization.lock_oneself(session.user)
            _use_up(proof, user)
            return login.add_proof(session, proof)


def step_up_with_password(session: Session, password: str) -> SignIn:
    """Records a fresh login in the session of a user without a second factor, and returns new tokens.

    Raises InvalidCredentials for a wrong password, InvalidSecondFactor for a user with a second factor, Throttled,
    Overloaded, TokenNotValid.
    """
    if session.user.mfa_enabled:
        raise InvalidSecondFactor
    credentials.confirm_login(session.user, password)
    with transaction.atomic():
        user = authorization.lock_oneself(session.user)
        if user.mfa_enabled or user.password != session.user.password:
            raise InvalidCredentials
        return login.add_proof(session, PASSWORD)


def _use_up(proof: Proof, user: User) -> None:
    """Uses up the proof, and tells the owner of a recovery code that one was used. Raises InvalidSecondFactor."""
    proof.use_up()
    if "recovery" in proof.amr:
        left = recovery_codes.number_left(user)
        audit.record("recovery_code:used", user, actor=user, left=left)
        recovery_code_used.send(sender=User, user=user, left=left)
