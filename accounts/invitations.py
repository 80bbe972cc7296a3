"""Inviting somebody to choose a password, and accepting."""

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts import audit, credentials, hashers, password_policy, throttling, tokens
from accounts.errors import Conflict, PermissionDenied
from accounts.models import User
from accounts.signals import user_invited
from accounts.tokens import Purpose


@transaction.atomic
def invite(user: User, *, actor: User | None) -> None:
    """Owes an invitation to a user who has no password yet; a newer one ends the older links.

    Raises PermissionDenied, Conflict.
    """
    if actor and not actor.holds_role(user.role):
        raise PermissionDenied
    if user.has_usable_password() or not user.is_active:
        raise Conflict(_("Only an active user without a password can be invited."))
    audit.record("user:invited", user, actor=actor)
    user_invited.send(sender=User, user=user)


def accept(secret: str, password: str, *, full_name: str | None = None) -> User:
    """Sets the first password of whom the secret was mailed to, which also proves the address.

    Raises InvalidToken, InvalidInput, Throttled, Overloaded.
    """
    with throttling.token_try():
        token = tokens.find(secret, Purpose.INVITATION)
        user = token.user
        user.full_name = full_name or user.full_name
        password_policy.check(password, user, field="password")
        encoded = hashers.make(password)
        with transaction.atomic():
            tokens.consume(token)
            user.email_verified = True
            user.save(update_fields=["full_name", "email_verified"])
            audit.record("user:invitation_accepted", user, actor=user)
            credentials.replace_password(user, encoded, actor=user)
    return user
