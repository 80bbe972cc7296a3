"""Confirms that an email address belongs to its user."""

from django.conf import settings
from django.db import transaction

from accounts import audit, known_networks, one_time_tokens, sessions
from accounts.email_addresses import canonical_email
from accounts.errors import InvalidToken
from accounts.limits import rate_limits
from accounts.models import Session, User
from accounts.one_time_tokens import Purpose
from accounts.signals import email_verification_requested, email_verified


def request(email: str) -> None:
    """Sends another confirmation link if an active user has this address and has not confirmed it. Raises Throttled."""
    rate_limits.consume([rate_limits.client_attempt("mail-ip", settings.RATE_MAIL_IP)])
    unconfirmed = User.objects.filter(email_key=canonical_email(email), is_active=True, email_verified=False)
    with transaction.atomic():
        if rate_limits.count_email(email, "verification", is_wanted=unconfirmed.exists()):
            email_verification_requested.send(sender=User, email=email)


def confirm(secret: str, *, keep: Session | None = None) -> User:
    """Confirms the address that the token was emailed to. A used token is accepted again until it expires.

    The first confirmation ends all sessions of the user except `keep`, and every pending change of the address, because
    a stranger may have started them. Raises InvalidToken, Throttled.
    """
    with rate_limits.token_attempt(), transaction.atomic():
        token = one_time_tokens.lock_including_used(secret, Purpose.VERIFY_EMAIL)
        user = token.user
        if token.used_at is None:
            one_time_tokens.consume(token)
            _confirm(user, keep)
        elif not user.email_verified:
            raise InvalidToken
    return user


def _confirm(user: User, keep: Session | None) -> None:
    is_first, user.email_verified = not user.email_verified, True
    user.save(update_fields=["email_verified"])
    audit.record("email:verified", user, actor=user)
    known_networks.remember(user)
    if is_first:
        one_time_tokens.end(user, Purpose.EMAIL_CHANGE)
        sessions.revoke_all(user, actor=user, keep=keep)
        email_verified.send(sender=User, user=user)
