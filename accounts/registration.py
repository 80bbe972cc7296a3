"""Registering, and confirming that an address is one's own."""

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import audit, credentials, known_networks, roles, throttling, tokens
from accounts.addresses import canonical_email
from accounts.errors import AddressTaken, InvalidToken, RegistrationClosed
from accounts.models import Role, User
from accounts.signals import email_verification_requested, registration_repeated, user_registered
from accounts.tokens import Purpose


def register(email: str, password: str, *, full_name: str = "", locale: str = "") -> User | None:
    """A new user of the default role; None when nobody may learn whether the address was known.

    Raises RegistrationClosed, InvalidInput, AddressTaken, Throttled, Overloaded.
    """
    if not settings.REGISTRATION_OPEN:
        raise RegistrationClosed
    user = User(email=email, full_name=full_name, locale=locale)
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
    _tell_owner(user.email)
    return False


@transaction.atomic
def _tell_owner(email: str) -> None:
    """Who owns the address learns of the try, where the one who tried learns nothing."""
    if settings.EMAIL_VERIFICATION == "required" and throttling.may_mail(email, "registration"):
        registration_repeated.send(sender=User, email=email)


def request_verification(email: str) -> None:
    """Owes a new confirmation link to whoever has this address, if anybody has. Raises Throttled."""
    throttling.take([throttling.client_try("mail-ip", settings.RATE_MAIL_IP)])
    unconfirmed = User.objects.filter(email_key=canonical_email(email), is_active=True, email_verified=False)
    with transaction.atomic():
        if throttling.may_mail(email, "verification", is_wanted=unconfirmed.exists()):
            email_verification_requested.send(sender=User, email=email)


def verify_email(secret: str) -> User:
    """Confirms the address to which the secret was mailed; again, while the secret lives.

    Raises InvalidToken, Throttled.
    """
    with throttling.token_try(), transaction.atomic():
        token = tokens.lock_also_used(secret, Purpose.VERIFY_EMAIL)
        user = token.user
        if token.used_at is None:
            tokens.consume(token)
            user.email_verified = True
            user.save(update_fields=["email_verified"])
            audit.record("email:verified", user, actor=user)
            known_networks.remember(user)
        elif not user.email_verified:
            raise InvalidToken
    return user
