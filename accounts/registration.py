"""Registering, and confirming that an address is one's own."""

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction

from accounts import audit, credentials, known_networks, roles, sessions, throttling, tokens
from accounts.addresses import canonical_email
from accounts.errors import AddressTaken, InvalidToken, RegistrationClosed
from accounts.models import Role, Session, User
from accounts.signals import (
    email_verification_requested,
    email_verified,
    registration_repeated,
    registration_withdrawn,
    user_registered,
)
from accounts.tokens import Purpose


def register(email: str, password: str, *, full_name: str = "", locale: str = "") -> User | None:
    """A new user of the default role; None when nobody may learn whether the address was known.

    Raises RegistrationClosed, InvalidInput, AddressTaken, Throttled, Overloaded.
    """
    if not settings.REGISTRATION_OPEN:
        raise RegistrationClosed
    user = User(email=email, full_name=full_name, locale=locale, has_unproven_password=True)
    tries = [throttling.client_try("register", settings.RATE_REGISTER)]
    user.password = credentials.new_hash(password, user, field="password", tries=tries)
    is_new = _create(user)
    if settings.EMAIL_VERIFICATION == "required":
        return None
    if not is_new:
        raise AddressTaken("email")
    return user


def _create(user: User) -> bool:
    """Whether the user was created; the database decides which of several at once is the first."""
    try:
        with transaction.atomic():
            user.role = Role.objects.get(name=roles.USER)
            user.save(force_insert=True)
            audit.record("user:registered", user, actor=user)
            user_registered.send(sender=User, user=user)
            return True
    except IntegrityError as fault:
        if not User.is_address_taken(fault):
            raise
    if settings.EMAIL_VERIFICATION == "required":
        _repeat(user.email)
    return False


@transaction.atomic
def _repeat(email: str) -> None:
    """An address is registered that an account has; its owner gets an email, and the client learns nothing.

    If the account came from a registration and nobody has confirmed its address, neither client has proved anything.
    The account then keeps no password: the owner confirms the address, and sets one with a reset link. An account that
    an administrator or an import made keeps its password, or a stranger could take it away.
    """
    unproven = User.objects.filter(email_key=canonical_email(email), has_unproven_password=True)
    known = unproven.select_for_update().first()
    may_mail = throttling.may_mail(email, "registration")
    if known is None:
        if may_mail:
            registration_repeated.send(sender=User, email=email)
        return
    if known.has_usable_password():
        _withdraw(known)
    if may_mail:
        email_verification_requested.send(sender=User, email=email)


def _withdraw(user: User) -> None:
    """Takes back what the first client chose: password, name, language and links.

    Once is enough: no later registration brings a password back, so later ones leave the links alone.
    """
    user.password, user.full_name, user.locale = make_password(None), "", ""
    user.save(update_fields=["password", "full_name", "locale"])
    tokens.end_all(user)
    audit.record("user:registration_repeated", user, actor=None)
    registration_withdrawn.send(sender=User, user=user)


def request_verification(email: str) -> None:
    """Owes a new confirmation link to whoever has this address, if anybody has. Raises Throttled."""
    throttling.take([throttling.client_try("mail-ip", settings.RATE_MAIL_IP)])
    unconfirmed = User.objects.filter(email_key=canonical_email(email), is_active=True, email_verified=False)
    with transaction.atomic():
        if throttling.may_mail(email, "verification", is_wanted=unconfirmed.exists()):
            email_verification_requested.send(sender=User, email=email)


def verify_email(secret: str, *, keep: Session | None = None) -> User:
    """Confirms the address to which the secret was mailed; again, while the secret lives.

    The first time ends every session of the user but `keep`, and every request to move to another address, as a
    stranger may have begun them. Raises InvalidToken, Throttled.
    """
    with throttling.token_try(), transaction.atomic():
        token = tokens.lock_also_used(secret, Purpose.VERIFY_EMAIL)
        user = token.user
        if token.used_at is None:
            tokens.consume(token)
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
        tokens.end(user, Purpose.EMAIL_CHANGE)
        sessions.revoke_all(user, actor=user, keep=keep)
        email_verified.send(sender=User, user=user)
