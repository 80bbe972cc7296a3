"""Forgetting a password and changing it."""

from django.conf import settings
from django.db import transaction

from accounts import audit, credentials, known_networks, throttling, tokens
from accounts.addresses import canonical_email
from accounts.models import Session, User
from accounts.signals import password_reset_requested
from accounts.tokens import Purpose


def request_reset(email: str) -> None:
    """Owes a reset link to whoever has this address, if anybody has. Raises Throttled."""
    throttling.take([throttling.client_try("mail-ip", settings.RATE_MAIL_IP)])
    readers = User.objects.filter(email_key=canonical_email(email), is_active=True)
    with transaction.atomic():
        if throttling.may_mail(email, "reset", is_wanted=readers.exists()):
            password_reset_requested.send(sender=User, email=email)


def reset(secret: str, new_password: str) -> User:
    """Sets the password of whom the secret was mailed to, which also proves the address.

    Every session ends. A refused password does not use the secret up. Raises InvalidToken, InvalidInput, Throttled,
    Overloaded.
    """
    with throttling.token_try():
        token = tokens.find(secret, Purpose.PASSWORD_RESET)
        user = token.user
        encoded = credentials.new_hash(new_password, user, field="new_password")
        with transaction.atomic():
            tokens.consume(token)
            _confirm_address(user)
            known_networks.remember(user)
            audit.record("password:reset", user, actor=user)
            credentials.replace_password(user, encoded, actor=user)
    return user


def change(user: User, current_password: str, new_password: str, *, keep: Session | None) -> None:
    """Sets another password; every session ends but the one to keep.

    Raises InvalidInput, Throttled, Overloaded.
    """
    with throttling.counted([throttling.user_try(user, "write-security", settings.RATE_WRITE)]):
        credentials.confirm(user, current_password)
    encoded = credentials.new_hash(new_password, user, field="new_password", actor=user)
    with transaction.atomic():
        credentials.hold(user)
        audit.record("password:changed", user, actor=user)
        credentials.replace_password(user, encoded, actor=user, keep=keep)


def _confirm_address(user: User) -> None:
    if not user.email_verified:
        user.email_verified = True
        user.save(update_fields=["email_verified"])
        audit.record("email:verified", user, actor=user)
