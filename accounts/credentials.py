"""Proving to be somebody with a password, and replacing it: what the use cases around passwords have in common."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import audit, hashers, known_networks, origin, password_policy, sessions, suspension, throttling, tokens
from accounts.addresses import canonical_email
from accounts.errors import AccountError, EmailNotVerified, InvalidCredentials, InvalidInput
from accounts.models import Session, User
from accounts.signals import login_blocked, password_changed
from accounts.throttling import Try

_LINK_WAS_MAILED = _(
    "Too many failed logins. If there is an account with this address, we have emailed it a link with which to get in."
)
NOBODY = UUID(int=0)  # stands in for an unknown user, so that the same is asked for all


def check(email: str, password: str) -> User:
    """The user of an address, if the password is theirs and they may log in.

    Raises InvalidCredentials for an unknown address and a wrong password alike and after the same work; Throttled
    before any work; Overloaded; and after the right password only AccountSuspended and EmailNotVerified.
    """
    hashers.require_room()
    user = User.objects.with_address(email)
    if not _is_proved(email, user, password) or user is None:
        _refuse(user, InvalidCredentials())
    if not user.is_active and not suspension.end_if_over(user):
        _refuse(user, suspension.refusal(user))
    if settings.EMAIL_VERIFICATION == "required" and not user.email_verified:
        _refuse(user, EmailNotVerified())
    return user


def confirm(user: User, current_password: str) -> None:
    """Makes sure that it is still the user who acts. Raises InvalidInput, Throttled, Overloaded."""
    hashers.require_room()
    if not _is_proved(user.email, user, current_password):
        audit.record("password:confirmation_failed", user, actor=user)
        raise _wrong_password()


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


def new_hash(password: str, user: User, *, field: str, actor: User | None = None, tries: Sequence[Try] = ()) -> str:
    """The hash of a password that is good enough for the user.

    Takes a place to hash, counts the attempt and then judges the password, which costs up to 50 ms. The attempt counts
    against its client, or against the actor who is signed in; `tries` count too, but not for a rejected password: a
    user who looks for a good one keeps their registrations. Raises InvalidInput, Throttled, Overloaded.
    """
    attempt = throttling.password_try(user, actor)
    with hashers.place():
        throttling.take([*attempt, *tries])
        try:
            password_policy.check(password, user, field=field)
        except InvalidInput:
            throttling.give_back(tries)
            raise
        return hashers.make(password)


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


def _is_proved(email: str, user: User | None, password: str) -> bool:
    """Whether the password is the user's. Takes a place to hash, counts the attempt, and then hashes.

    A right password leaves its mark on the limit of successes, a wrong one on the limits of failures: each attempt
    counts against all of them while it is hashed. Raises Overloaded, Throttled.
    """
    is_known = known_networks.is_known(user.pk if user else NOBODY)
    success, first, *failures = _tries(email, user, is_known)
    with hashers.place(is_known=is_known):
        throttling.take([success, first, *failures])
        is_right = _is_right(user, password)
    if is_right:
        throttling.forget(first)  # failures in a row
        throttling.give_back(failures)
    else:
        throttling.give_back([success])
    return is_right


def _tries(email: str, user: User | None, is_known: bool) -> list[Try]:
    """What a login counts against: successes of the account, its failures in a row from this network, and then failures
    of this network and of the account. At a network from which its user logged in before, others lock out nobody.

    How much is left of the account's limits is not told before they refuse: that one did not count would tell that the
    user logged in here.
    """
    account, user_id = _account(email), user.pk if user else None
    client = origin.network(origin.current.get().ip)
    tries = [
        Try("login-success", account, settings.RATE_LOGIN_SUCCESS, account, user_id, is_told=False),
        Try("login", f"{account} {client}", settings.RATE_LOGIN, account, user_id),
        Try("login-ip", client, settings.RATE_LOGIN_IP),
    ]
    return tries if is_known else [*tries, _try_of_strangers(account, user)]


def _try_of_strangers(account: str, user: User | None) -> Try:
    """A failure at a network that the account is not known from.

    The first refusal of a window owes the owner an email with a reset link. Using a mailed link makes the network
    known, so the owner always has a way in. An unknown address costs the same work, and its client is told the same.
    """

    def offer_link() -> None:
        with suppress(ValueError):  # what was tried is no email address
            if throttling.may_mail(account, "login-blocked", is_wanted=user is not None):
                login_blocked.send(sender=User, email=user.email if user else account)

    return Try(
        "login-account",
        account,
        settings.RATE_LOGIN_ACCOUNT,
        account,
        user.pk if user else None,
        is_told=False,
        refusal=_LINK_WAS_MAILED,
        when_full=offer_link,
    )


def _account(email: str) -> str:
    try:
        return canonical_email(email)
    except ValueError:
        return email.lower()
