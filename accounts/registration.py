"""Registers users."""

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction

from accounts import audit, credentials, one_time_tokens, permissions
from accounts.email_addresses import canonical_email
from accounts.errors import AddressTaken, RegistrationClosed
from accounts.limits import rate_limits
from accounts.models import Role, User
from accounts.signals import (
    email_verification_requested,
    registration_repeated,
    registration_withdrawn,
    user_registered,
)


class ConfirmationPending:
    """The result of a registration whose address has to be confirmed before the first login.

    The result is the same for a new and a known address, so the client can't tell them apart.
    """


def register(email: str, password: str, *, full_name: str = "", locale: str = "") -> User | ConfirmationPending:
    """Creates a user of the default role. Returns them, or ConfirmationPending with EMAIL_VERIFICATION=required.

    Raises RegistrationClosed, InvalidInput, AddressTaken, Throttled, Overloaded.
    """
    if not settings.REGISTRATION_OPEN:
        raise RegistrationClosed
    user = User(email=email, full_name=full_name, locale=locale, has_unproven_password=True)
    attempts = [rate_limits.client_attempt("register", settings.RATE_REGISTER)]
    user.password = credentials.hash_new_password(password, user, field="password", attempts=attempts)
    is_new = _create_or_repeat(user)
    if settings.EMAIL_VERIFICATION == "required":
        return ConfirmationPending()
    if not is_new:
        raise AddressTaken("email")
    return user


def _create_or_repeat(user: User) -> bool:
    """Returns whether the user was created. A unique constraint decides which of two simultaneous requests is first.

    With EMAIL_VERIFICATION=required, emails the owner of a known address instead.
    """
    try:
        with transaction.atomic():
            user.role = Role.objects.get(name=permissions.USER)
            user.save(force_insert=True)
            audit.record("user:registered", user, actor=user)
            user_registered.send(sender=User, user=user)
            return True
    except IntegrityError as error:
        if not User.is_email_conflict(error):
            raise
    if settings.EMAIL_VERIFICATION == "required":
        _repeat(user.email)
    return False


@transaction.atomic
def _repeat(email: str) -> None:
    """Emails the owner of an address that is registered again. The client learns nothing.

    If the account comes from a registration and its address is unconfirmed, neither client has proved that the address
    is theirs. The account then loses its password; the owner confirms the address and sets one with a reset link. An
    account that an administrator or an import created keeps its password. Otherwise any client could remove it.
    """
    unproven = User.objects.filter(email_key=canonical_email(email), has_unproven_password=True)
    known = unproven.select_for_update().first()
    may_send = rate_limits.count_email(email, "registration")
    if known is None:
        if may_send:
            registration_repeated.send(sender=User, email=email)
        return
    if known.has_usable_password():
        _withdraw(known)
    if may_send:
        email_verification_requested.send(sender=User, email=email)


def _withdraw(user: User) -> None:
    """Removes the password, name and language that the first client chose, and ends the links.

    Call it only while the account has a password. A later registration sets none, so the links that its owner received
    since then go on working.
    """
    user.password, user.full_name, user.locale = make_password(None), "", ""
    user.save(update_fields=["password", "full_name", "locale"])
    one_time_tokens.end_all_and_invitation(user)
    audit.record("user:registration_repeated", user, actor=None)
    registration_withdrawn.send(sender=User, user=user)
