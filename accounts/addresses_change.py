"""Moving to another address: it changes when the link that was mailed there is used, not before."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts import audit, credentials, sessions, throttling, tokens
from accounts.addresses import canonical_email
from accounts.errors import AddressTaken, InvalidInput, InvalidToken
from accounts.models import Session, User
from accounts.signals import email_change_requested, email_changed
from accounts.tokens import Purpose


def request(user: User, new_email: str, current_password: str, *, keep: Session | None = None) -> None:
    """Owes a link to the new address and a notice to the old one; `keep` is the session that outlives the change.

    With EMAIL_VERIFICATION=required nobody learns whether the new address is known: its owner is told instead.
    Raises InvalidInput, AddressTaken, Throttled, Overloaded.
    """
    credentials.confirm(user, current_password)
    key = canonical_email(new_email)
    if key == user.email_key and new_email == user.email:
        raise InvalidInput("new_email", "unchanged", _("This is your address already."))
    is_taken = User.objects.filter(email_key=key).exclude(pk=user.pk).exists()
    if is_taken and settings.EMAIL_VERIFICATION != "required":
        raise AddressTaken("new_email")
    with transaction.atomic():
        credentials.hold(user)
        if keep:
            sessions.note_move(keep)
        audit.record("email:change_requested", user, actor=user)
        if throttling.may_mail(new_email, "change"):
            email_change_requested.send(sender=User, user=user, new_email=new_email, is_taken=is_taken)


def confirm(secret: str) -> User:
    """Changes the address to the one that the secret was mailed to, and ends all mailed links.

    Every session ends but the one in which this was asked for. Raises InvalidToken, also when somebody else has the
    address by now; Throttled.
    """
    with throttling.token_try():
        token = tokens.find(secret, Purpose.EMAIL_CHANGE)
        try:
            with transaction.atomic():
                tokens.consume(token)
                _move(token.user, token.email)
        except IntegrityError as fault:
            if not User.is_address_taken(fault):
                raise
            raise InvalidToken from fault
    return token.user


def _move(user: User, new_email: str) -> None:
    old_email, user.email, user.email_verified = user.email, new_email, True
    user.save(update_fields=["email", "email_verified"])
    tokens.end_all(user)
    sessions.revoke_all(user, actor=user, keep=sessions.moving(user))
    audit.record("email:changed", user, actor=user)
    email_changed.send(sender=User, user=user, old_email=old_email)
