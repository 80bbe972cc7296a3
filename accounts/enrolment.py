"""Adds second factors: by a signed-in user, or by a user who must add one before they can sign in."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, authorization, credentials, login, one_time_tokens, sessions
from accounts.errors import Conflict, EmailNotVerified, InvalidSecondFactor, InvalidToken
from accounts.limits import rate_limits
from accounts.login import SignIn
from accounts.mfa import factors, pending_logins, recovery_codes, totp
from accounts.mfa.factors import Factor
from accounts.mfa.proofs import Proof
from accounts.models import PendingLogin, Session, TotpSecret, User
from accounts.models.role import MfaPolicy
from accounts.one_time_tokens import Purpose
from accounts.signals import factor_added

#: The links that a new factor ends. That of a password reset works on: it opens no session and removes no factor.
LINKS = (Purpose.EMAIL_CHANGE, Purpose.SECOND_FACTOR)


class Enrolling(NamedTuple):
    """A user who adds a second factor: in a session, or in a pending login. One of the two is None.

    The session that a pending login ends in lasts for `lifetime` or SESSION_LIFETIME.
    """

    user: User
    session: Session | None
    pending: PendingLogin | None
    lifetime: timedelta | None = None

    @property
    def key(self) -> bytes:
        """Returns what identifies the session or the pending login."""
        if self.session:
            return self.session.pk.bytes
        return bytes(self.pending.digest) if self.pending else b""


class NewTotp(NamedTuple):
    """An enrolment that confirm_totp() finishes."""

    id: UUID
    secret: str
    uri: str
    expires_in: int  #: seconds


class Enrolled(NamedTuple):
    """What the user gets for a new second factor. `recovery_codes` is empty unless it is their first."""

    sign_in: SignIn
    factor: Factor
    recovery_codes: list[str]


def in_session(session: Session) -> Enrolling:
    """Returns the user of a session, whose login must be fresh."""
    return Enrolling(session.user, session, None)


def in_pending_login(mfa_token: str, *, lifetime: timedelta | None = None) -> Enrolling:
    """Returns the user of a pending login that must enrol. Raises InvalidToken."""
    pending = pending_logins.find(mfa_token, PendingLogin.Purpose.ENROLMENT)
    if pending.user.mfa_enabled:
        raise InvalidToken(pending_logins.ENDED)
    return Enrolling(pending.user, None, pending, lifetime)


def begin_with_link(emailed_token: str, password: str) -> str:
    """Begins a pending login for the user of an emailed link, who must add a second factor. Returns its token.

    Raises InvalidToken, EmailNotVerified and the errors of credentials.check_password(). Does not use up the link.
    """
    token = one_time_tokens.find(emailed_token, Purpose.SECOND_FACTOR)
    user = credentials.check_password(token.user.email, password)
    if user.pk != token.user_id or user.mfa_enabled or user.mfa_reset_at is None:
        raise InvalidToken
    return str(login.begin_enrolment(user)["mfa_token"])


def require_allowed(enrolling: Enrolling, emailed_token: str = "") -> None:
    """Raises an error unless the user may begin an enrolment now.

    EmailNotVerified without a confirmed address, Conflict if the role allows no new second factors, InvalidToken if an
    administrator reset the user's factors and the emailed token is missing. The token is not used up.
    """
    user = enrolling.user
    if not user.email_verified:
        raise EmailNotVerified
    if user.mfa_reset_at is not None:
        token = one_time_tokens.find(emailed_token, Purpose.SECOND_FACTOR)
        if token.user_id != user.pk:
            raise InvalidToken
    elif user.role.mfa == MfaPolicy.OFF and not user.mfa_enabled:
        raise Conflict(_("Your role allows no second factors."))


def begin_totp(enrolling: Enrolling, *, emailed_token: str = "") -> NewTotp:
    """Makes a secret for an authenticator app. Its codes are accepted once confirm_totp() has activated it.

    Raises the errors of require_allowed(), InvalidToken, TokenNotValid, Throttled.
    """
    rate_limits.consume([rate_limits.user_attempt(enrolling.user, "enrolment", settings.RATE_WRITE)])
    with transaction.atomic():
        user = _lock_user(enrolling)
        require_allowed(enrolling._replace(user=user), emailed_token)
        row, secret = totp.create(user, name=factors.default_name(user, "totp"))
    return NewTotp(row.pk, secret, totp.uri(user, secret), int(settings.MFA_LOGIN_LIFETIME.total_seconds()))


def resume_totp(enrolling: Enrolling, factor: UUID) -> NewTotp | None:
    """Returns an unfinished enrolment, for the page that began it. None if it has expired or can't be decrypted.

    The page must remember the id. Without that, an attacker who knows the password could begin an enrolment, learn its
    secret, and wait until the user's own login resumes and confirms it.
    """
    row = totp.find_unconfirmed(enrolling.user, factor)
    secret = totp.read_secret(row) if row else None
    if row is None or secret is None or row.expires_at is None:
        return None
    left = row.expires_at - timezone.now()
    return NewTotp(row.pk, secret, totp.uri(enrolling.user, secret), int(left.total_seconds()))


def confirm_totp(enrolling: Enrolling, factor: UUID, code: str) -> Enrolled:
    """Activates the secret in place of an older one, if the code is right.

    Raises InvalidToken for an unknown, expired or confirmed enrolment, and InvalidSecondFactor for a wrong code, which
    leaves the enrolment as it is.
    """
    row = _count_confirmation(enrolling, factor)
    with transaction.atomic():
        user = _activate(enrolling, row, code)
        return finish(enrolling, user, factors.of_totp(row), Proof(("otp", "mfa"), row.pk))


def confirm_totp_without_login(enrolling: Enrolling, factor: UUID, code: str) -> list[str]:
    """Does what confirm_totp() does, but opens no session. Returns the recovery codes."""
    row = _count_confirmation(enrolling, factor)
    with transaction.atomic():
        user = _activate(enrolling, row, code)
        return finish_without_login(enrolling, user, factors.of_totp(row))


def lock(enrolling: Enrolling) -> User:
    """Locks and returns the user whose enrolment is about to be finished, and uses up the pending login.

    Raises InvalidToken, TokenNotValid, EmailNotVerified. Call it inside the transaction of finish().
    """
    user = _lock_user(enrolling)
    if not user.email_verified:
        raise EmailNotVerified
    if enrolling.pending:
        if user.mfa_enabled:  # another pending login was faster
            raise InvalidToken(pending_logins.ENDED)
        pending_logins.use_up(enrolling.pending)
    return user


def finish(enrolling: Enrolling, user: User, factor: Factor, proof: Proof) -> Enrolled:
    """Records the new factor of a locked user: all other sessions end, and a first factor brings recovery codes.

    Call it in the transaction that stored the factor.
    """
    codes = finish_without_login(enrolling, user, factor)
    return Enrolled(_tokens(enrolling, user, proof), factor, codes)


def finish_without_login(enrolling: Enrolling, user: User, factor: Factor) -> list[str]:
    """Does what finish() does, but opens no session. Returns the recovery codes if it is the first factor.

    Ends links for a change of address: the session that requested one before may be a thief's.
    """
    is_first = not user.mfa_enabled
    user.mfa_enabled, user.mfa_reset_at = True, None
    user.save(update_fields=["mfa_enabled", "mfa_reset_at"])
    codes = recovery_codes.replace(user) if is_first else []
    one_time_tokens.end(user, *LINKS)
    audit.record("factor:added", user, actor=user, type=factor.type, factor=str(factor.id))
    sessions.revoke_all(user, actor=user, keep=enrolling.session)
    factor_added.send(sender=User, user=user, factor=factor.name, is_first=is_first)
    return codes


def _count_confirmation(enrolling: Enrolling, factor: UUID) -> TotpSecret:
    """Returns the unfinished enrolment, and counts the attempt to finish it in a pending login. Raises InvalidToken."""
    row = totp.find_unconfirmed(enrolling.user, factor)
    if row is None:
        raise InvalidToken(pending_logins.ENDED)
    if enrolling.pending:
        pending_logins.count_attempt(enrolling.pending)
    return row


def _activate(enrolling: Enrolling, row: TotpSecret, code: str) -> User:
    """Activates the secret. Returns the locked user. Raises InvalidSecondFactor for a wrong code."""
    user = lock(enrolling)
    if user.mfa_reset_at is not None and row.created_at < user.mfa_reset_at:
        raise InvalidToken(pending_logins.ENDED)  # it was begun without the emailed link
    if not totp.confirm(row, code):
        raise InvalidSecondFactor
    return user


def _lock_user(enrolling: Enrolling) -> User:
    if enrolling.pending:
        return pending_logins.lock_user(enrolling.pending)
    return authorization.lock_oneself(enrolling.user)


def _tokens(enrolling: Enrolling, user: User, proof: Proof) -> SignIn:
    """Returns new tokens of the session, or of one that it opens for a pending login."""
    session = enrolling.session
    if session is None:
        return login.sign_in(user, proof.after_password(), lifetime=enrolling.lifetime)
    session.user = user
    return login.add_proof(session, proof)
