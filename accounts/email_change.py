"""Changes the address of a user: request() emails a link to the new address, confirm() uses it."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts import audit, credentials, known_networks, one_time_tokens, sessions
from accounts.errors import EmailNotVerified, InvalidInput, InvalidToken
from accounts.limits import rate_limits
from accounts.models import Session, User
from accounts.one_time_tokens import Purpose
from accounts.signals import email_change_requested, email_changed


def request(user: User, new_email: str, current_password: str, *, keep: Session | None = None) -> None:
    """Sends a link to the new address and a notice to the old one. The session `keep` survives the change.

    The user must not learn whether another account has the new address, so this function doesn't look. The sender of
    the email looks, and informs the owner of a taken address instead. The limits count the request before the password
    is hashed.
    A user whose permissions depend on the current address has to confirm that one first. Otherwise a stranger who
    registered it could confirm an address of their own, and get the permissions that were meant for its owner.
    Raises InvalidInput, EmailNotVerified, Throttled, Overloaded.
    """
    if user.has_dormant_permissions:
        raise EmailNotVerified
    if new_email == user.email:
        raise InvalidInput("new_email", "unchanged", _("This is already your address."))
    attempts = [
        rate_limits.user_attempt(user, "email-change", settings.RATE_EMAIL_CHANGE),
        rate_limits.user_attempt(user, "write", settings.RATE_WRITE),
    ]
    with rate_limits.consumed_unless_overloaded(attempts):
        credentials.confirm_password(user, current_password)
    with transaction.atomic():
        credentials.lock_if_password_unchanged(user)
        if keep:
            sessions.mark_survives_email_change(keep)
        audit.record("email:change_requested", user, actor=user)
        if rate_limits.count_email_change(new_email):
            email_change_requested.send(sender=User, user=user, new_email=new_email)


def confirm(secret: str) -> User:
    """Changes the address to the one that the token was emailed to, and ends all emailed links.

    Ends all sessions except the one that requested the change. Raises Throttled, and InvalidToken; also if another user
    has the address by now, or if the user has since got permissions that depend on confirming the current address.
    """
    with rate_limits.token_attempt():
        token = one_time_tokens.find(secret, Purpose.EMAIL_CHANGE)
        try:
            with transaction.atomic():
                one_time_tokens.consume(token)  # locks the user's row
                user = User.objects.select_related("role").get(pk=token.user_id)
                if user.has_dormant_permissions:
                    raise InvalidToken
                known_networks.remember(user)
                _change_email(user, token.email)
        except IntegrityError as error:
            if not User.is_email_conflict(error):
                raise
            raise InvalidToken from error
    return user


def _change_email(user: User, new_email: str) -> None:
    old_email, user.email, user.email_verified = user.email, new_email, True
    user.save(update_fields=["email", "email_verified"])
    one_time_tokens.end_all_and_invitation(user)
    sessions.revoke_all(user, actor=user, keep=sessions.find_survivor_of_email_change(user))
    audit.record("email:changed", user, actor=user)
    email_changed.send(sender=User, user=user, old_email=old_email)
