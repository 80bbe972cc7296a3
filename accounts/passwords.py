"""Resets and changes passwords."""

from django.conf import settings
from django.db import transaction

from accounts import audit, credentials, known_networks, one_time_tokens
from accounts.email_addresses import canonical_email
from accounts.limits import rate_limits
from accounts.models import Session, User
from accounts.one_time_tokens import Purpose
from accounts.signals import password_reset_requested


def request_reset(email: str) -> None:
    """Sends a reset link if an active user has this address. Raises Throttled."""
    rate_limits.consume([rate_limits.client_attempt("mail-ip", settings.RATE_MAIL_IP)])
    known = User.objects.filter(email_key=canonical_email(email), is_active=True)
    with transaction.atomic():
        if rate_limits.count_email(email, "reset", is_wanted=known.exists()):
            password_reset_requested.send(sender=User, email=email)


def reset(secret: str, new_password: str) -> User:
    """Sets the password of the user that the token was emailed to, confirms the address and ends all sessions.

    A rejected password does not use up the token. Raises InvalidToken, InvalidInput, Throttled, Overloaded.
    """
    with rate_limits.token_attempt():
        token = one_time_tokens.find(secret, Purpose.PASSWORD_RESET)
        user = token.user
        encoded = credentials.hash_new_password(new_password, user, field="new_password")
        with transaction.atomic():
            one_time_tokens.consume(token)
            _confirm_address(user)
            known_networks.remember(user)
            audit.record("password:reset", user, actor=user)
            credentials.replace_password(user, encoded, actor=user)
    return user


def change(user: User, current_password: str, new_password: str, *, keep: Session | None) -> None:
    """Replaces the password and ends all sessions except `keep`.

    Raises InvalidInput, Throttled, Overloaded.
    """
    with rate_limits.consumed_unless_overloaded(
        [rate_limits.user_attempt(user, "write-security", settings.RATE_WRITE)]
    ):
        credentials.confirm_password(user, current_password)
    encoded = credentials.hash_new_password(new_password, user, field="new_password", actor=user)
    with transaction.atomic():
        credentials.lock_if_password_unchanged(user)
        audit.record("password:changed", user, actor=user)
        credentials.replace_password(user, encoded, actor=user, keep=keep)


def _confirm_address(user: User) -> None:
    if not user.email_verified:
        user.email_verified = True
        user.save(update_fields=["email_verified"])
        audit.record("email:verified", user, actor=user)
