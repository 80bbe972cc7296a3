"""Moving to another address: it changes when the link that was mailed there is used, not before."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts import audit, credentials, known_networks, sessions, throttling, tokens
from accounts.errors import EmailNotVerified, InvalidInput, InvalidToken
from accounts.models import Session, User
from accounts.signals import email_change_requested, email_changed
from accounts.tokens import Purpose


def request(user: User, new_email: str, current_password: str, *, keep: Session | None = None) -> None:
    """Owes a link to the new address and a notice to the old one; `keep` is the session that outlives the change.

    The user never learns whether the new address is known, as nothing here looks. The sender of the mail looks, and
    tells the owner of a taken address instead. The limit counts the request before the password is hashed.
    A user whose permissions wait for the confirmation of the present address has to confirm that one first: confirming
    another one would give a stranger who registered it the permissions that its owner was to have.
    Raises InvalidInput, EmailNotVerified, Throttled, Overloaded.
    """
    if user.has_dormant_permissions:
        raise EmailNotVerified
    if new_email == user.email:
        raise InvalidInput("new_email", "unchanged", _("This is your address already."))
    tries = [
        throttling.user_try(user, "email-change", settings.RATE_EMAIL_CHANGE),
        throttling.user_try(user, "write", settings.RATE_WRITE),
    ]
    with throttling.counted(tries):
        credentials.confirm(user, current_password)
    with transaction.atomic():
        credentials.hold(user)
        if keep:
            sessions.note_move(keep)
        audit.record("email:change_requested", user, actor=user)
        if throttling.may_mail_move(new_email):
            email_change_requested.send(sender=User, user=user, new_email=new_email)


def confirm(secret: str) -> User:
    """Changes the address to the one that the secret was mailed to, and ends all mailed links.

    Every session ends but the one in which this was asked for. Raises InvalidToken, also when another user has the
    address by now, or this one was given permissions that wait for the confirmation of the present address; Throttled.
    """
    with throttling.token_try():
        token = tokens.find(secret, Purpose.EMAIL_CHANGE)
        try:
            with transaction.atomic():
                tokens.consume(token)
                user = _locked(token.user)
                known_networks.remember(user)
                _move(user, token.email)
        except IntegrityError as fault:
            if not User.is_address_taken(fault):
                raise
            raise InvalidToken from fault
    return user


def _locked(user: User) -> User:
    """The user as stored now. Call it when the row is locked. Raises InvalidToken as confirm() says."""
    current = User.objects.select_related("role").get(pk=user.pk)
    if current.has_dormant_permissions:
        raise InvalidToken
    return current


def _move(user: User, new_email: str) -> None:
    old_email, user.email, user.email_verified = user.email, new_email, True
    user.save(update_fields=["email", "email_verified"])
    tokens.end_all(user)
    sessions.revoke_all(user, actor=user, keep=sessions.moving(user))
    audit.record("email:changed", user, actor=user)
    email_changed.send(sender=User, user=user, old_email=old_email)
