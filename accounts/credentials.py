"""Proving to be somebody with a password, and replacing it: what the use cases around passwords have in common."""

from typing import NoReturn
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import audit, hashers, origin, sessions, suspension, throttling, tokens
from accounts.addresses import canonical_email
from accounts.errors import AccountError, EmailNotVerified, InvalidCredentials, InvalidInput
from accounts.models import Session, User
from accounts.signals import password_changed
from accounts.throttling import Try

NOBODY = UUID(int=0)  # stands in for an unknown user, so that the same is asked for all


def check(email: str, password: str) -> User:
    """The user of an address, if the password is theirs and they may log in.

    Raises InvalidCredentials for an unknown address and a wrong password alike and after the same work; Throttled
    before any work; Overloaded; and after the right password only AccountSuspended and EmailNotVerified.
    """
    hashers.require_place()
    user = User.objects.with_address(email)
    tries = _tries(email, user)
    with throttling.counted(tries):
        is_right = _is_right(user, password)
    if not is_right or user is None:
        _refuse(user, InvalidCredentials())
    _uncount(tries)
    if not user.is_active and not suspension.end_if_over(user):
        _refuse(user, suspension.refusal(user))
    if settings.EMAIL_VERIFICATION == "required" and not user.email_verified:
        _refuse(user, EmailNotVerified())
    return user


def confirm(user: User, current_password: str) -> None:
    """Makes sure that it is still the user who acts. Raises InvalidInput, Throttled, Overloaded."""
    hashers.require_place()
    tries = _tries(user.email, user)
    with throttling.counted(tries):
        is_right = user.check_password(current_password)
    if not is_right:
        audit.record("password:confirmation_failed", user, actor=user)
        raise _wrong_password()
    _uncount(tries)


def unchanged(user: User) -> QuerySet[User]:
    """The user, if password and status are still those that were checked: hashing takes a while, in which they may
    have been reset or suspended."""
    return User.objects.filter(pk=user.pk, password=user.password, is_active=True)


def hold(user: User) -> None:
    """Lets nobody else replace the confirmed password until the transaction ends. Raises InvalidInput if one has."""
    if unchanged(user).select_for_update().first() is None:
        raise _wrong_password()


def replace_password(user: User, encoded: str, *, actor: User, keep: Session | None = None) -> None:
    """Stores a new hash, ends all mailed links and all sessions but one, and tells the user.

    Call it inside the transaction of what permits it.
    """
    user.password = encoded
    user.save(update_fields=["password"])
    tokens.end_all(user)
    sessions.revoke_all(user, actor=actor, keep=keep)
    forget_failures(user)
    password_changed.send(sender=User, user=user)


def forget_failures(user: User) -> None:
    """Lifts what failed logins have built up against the account."""
    throttling.forget_subject(user.email_key)


def _wrong_password() -> InvalidInput:
    return InvalidInput("current_password", "wrong_password", _("This is not your current password."))


def _is_right(user: User | None, password: str) -> bool:
    if user is None:
        return hashers.verify(password, "")[0]
    return user.check_password(password)


def _refuse(user: User | None, refusal: AccountError) -> NoReturn:
    audit.record("login:failed", user, actor=None, code=refusal.code)
    raise refusal


def _uncount(tries: list[Try]) -> None:
    """The first try counts failures in a row; the others count failures of anybody, and this was none."""
    throttling.forget(tries[0])
    throttling.give_back(tries[1:])


def _tries(email: str, user: User | None) -> list[Try]:
    """What a login counts against; nobody is locked out by others at an address from which they got in before.

    How much is left of the account's limit is not told before it refuses: that it did not count would tell that
    somebody got in here.
    """
    account, user_id = _account(email), user.pk if user else None
    ip = origin.current.get().ip
    client = origin.network(ip)
    tries = [
        Try("login", f"{account} {client}", settings.RATE_LOGIN, account, user_id),
        Try("login-ip", client, settings.RATE_LOGIN_IP),
    ]
    if not sessions.has_got_in_from(user_id or NOBODY, ip):
        tries.append(Try("login-account", account, settings.RATE_LOGIN_ACCOUNT, account, user_id, is_told=False))
    return tries


def _account(email: str) -> str:
    try:
        return canonical_email(email)
    except ValueError:
        return email.lower()
