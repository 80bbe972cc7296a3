"""Checks and replaces passwords, for all use cases that need one."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import audit, known_networks, one_time_tokens, request_context, sessions, suspension
from accounts.email_addresses import canonical_email
from accounts.errors import AccountError, EmailNotVerified, InvalidCredentials, InvalidInput, TokenNotValid
from accounts.hashing import hashers, password_policy
from accounts.limits import rate_limits
from accounts.limits.rate_limits import Attempt
from accounts.mfa import attempts as second_factor_attempts
from accounts.models import Session, User
from accounts.signals import login_blocked, password_changed

_LINK_EMAILED = _(
    "Too many failed logins. If an account with this address exists, we have emailed it a link to sign in."
)
UNKNOWN_USER_ID = UUID(int=0)  # replaces the id of an unknown user, so that the same queries run


def check_password(email: str, password: str) -> User:
    """Returns the user of this address, if the password is right and they may log in.

    Raises InvalidCredentials for an unknown address and for a wrong password, after the same work; Throttled before it
    hashes; Overloaded; and, only after the right password, AccountSuspended and EmailNotVerified.
    """
    hashers.require_free_slot()
    user = User.objects.find_by_email(email)
    if not _verify(email, user, password) or user is None:
        _reject(user, InvalidCredentials())
    reject_unless_may_log_in(user)
    return user


def reject_unless_may_log_in(user: User) -> None:
    """Ends an expired suspension. Otherwise records a failed login and raises AccountSuspended or EmailNotVerified.

    Call it once the user has proven who they are.
    """
    if not user.is_active and not suspension.end_if_expired(user):
        _reject(user, suspension.error_of(user))
    if settings.EMAIL_VERIFICATION == "required" and not user.email_verified:
        _reject(user, EmailNotVerified())


def confirm_password(user: User, current_password: str) -> None:
    """Checks the current password of a signed-in user. Raises InvalidInput if it is wrong, Throttled, Overloaded."""
    hashers.require_free_slot()
    if not _verify(user.email, user, current_password):
        audit.record("password:confirmation_failed", user, actor=user)
        raise _wrong_password()


def confirm_login(user: User, password: str) -> None:
    """Checks the password of a signed-in user who logs in again. Raises InvalidCredentials if it is wrong, Throttled,
    Overloaded."""
    hashers.require_free_slot()
    if not _verify(user.email, user, password):
        _reject(user, InvalidCredentials())


def fresh_queryset(user: User) -> QuerySet[User]:
    """Returns a queryset of the user, which is empty if the checked password was replaced or the user suspended
    meanwhile: hashing takes a while."""
    return User.objects.filter(pk=user.pk, password=user.password, is_active=True)


def lock_if_password_unchanged(user: User) -> None:
    """Locks the user until the transaction ends.

    Raises InvalidInput if, since confirm_password(), the password was replaced or the user suspended, and TokenNotValid
    if they got their first second factor: it ended other sessions, and the password alone is no longer enough.
    """
    current = fresh_queryset(user).select_for_update().first()
    if current is None:
        raise _wrong_password()
    if current.mfa_enabled and not user.mfa_enabled:
        raise TokenNotValid


def replace_password(user: User, encoded: str, *, actor: User, keep: Session | None = None) -> None:
    """Stores a new hash, ends all emailed links, pending logins and sessions except `keep`, and sends password_changed.

    Call it inside the transaction that checked the token or locked the user.
    """
    user.password = encoded
    user.save(update_fields=["password"])
    one_time_tokens.end_all_and_invitation(user)
    sessions.revoke_all(user, actor=actor, keep=keep)
    reset_login_limits(user)
    password_changed.send(sender=User, user=user)


def hash_new_password(
    password: str, user: User, *, field: str, actor: User | None = None, attempts: Sequence[Attempt] = ()
) -> str:
    """Returns the hash of a new password. Raises InvalidInput if it isn't good enough, Throttled, Overloaded.

    Takes a slot, counts the attempt, and then validates the password, which takes up to 50 ms. The attempt counts
    against the client or, if the request is authenticated, the actor. `attempts` count too, unless the password is
    rejected: a user who looks for a good password doesn't use up their registrations.
    """
    password_attempts = rate_limits.password_attempts(user, actor)
    with hashers.slot():
        rate_limits.consume([*password_attempts, *attempts])
        try:
            password_policy.validate(password, user, field=field)
        except InvalidInput:
            rate_limits.refund(attempts)
            raise
        return hashers.make(password)


def reset_login_limits(user: User) -> None:
    """Resets the rate limits that failed logins have used up for this account."""
    rate_limits.reset_account(user.email_key)


def reset_limits(user: User, *, actor: User | None) -> None:
    """Resets the limits of failed logins and, unless it is the actor's own account, of the second factor.

    Otherwise, a thief with an administrator's token could reset the limit of step-up and guess codes without end.
    """
    reset_login_limits(user)
    if actor is None or actor.pk != user.pk:
        second_factor_attempts.reset(user)


def resets_of(user: User, actor: User | None) -> list[Attempt]:
    """Returns the attempts that reset_limits() counts as: none for an operator or a user without a second factor."""
    if actor is None or actor.pk == user.pk or not user.mfa_enabled:
        return []
    return [second_factor_attempts.reset_by_administrator(user)]


def _wrong_password() -> InvalidInput:
    return InvalidInput("current_password", "wrong_password", _("This is not your current password."))


def _reject(user: User | None, error: AccountError) -> NoReturn:
    audit.record("login:failed", user, actor=None, code=error.code)
    raise error


def _verify(email: str, user: User | None, password: str) -> bool:
    """Takes a slot, counts the attempt, hashes the password and returns whether it is right.

    While the password is hashed, the attempt counts against all limits. Afterwards, a right password counts against the
    limit of successes, and a wrong one against the limits of failures. Raises Overloaded, Throttled.
    """
    is_known = known_networks.is_known(user.pk if user else UNKNOWN_USER_ID)
    success, first, *failures = _login_attempts(email, user, is_known)
    with hashers.slot(is_known=is_known):
        rate_limits.consume([success, first, *failures])
        is_right = user.check_password(password) if user else hashers.verify(password, "")[0]
    if is_right:
        rate_limits.reset_and_refund(first, failures)  # the first counts failures in a row
    else:
        rate_limits.refund([success])
    return is_right


def _login_attempts(email: str, user: User | None, is_known: bool) -> list[Attempt]:
    """Returns the attempts that a login counts as: a success of the account, one of its failures in a row from this
    network, a failure of this network and, in a network that the account isn't known from, a failure of the account.

    So other clients can't lock the user out in a known network. The client doesn't see what is left of the account's
    limits, because a missing count would reveal that the user has logged in from this network.
    """
    account, user_id = _account_key(email), user.pk if user else None
    client = request_context.network(request_context.current.get().ip)
    attempts = [
        Attempt("login-success", account, settings.RATE_LOGIN_SUCCESS, account, user_id, is_exposed=False),
        Attempt("login", f"{account} {client}", settings.RATE_LOGIN, account, user_id),
        Attempt("login-ip", client, settings.RATE_LOGIN_IP),
    ]
    return attempts if is_known else [*attempts, _attempt_from_unknown_network(account, user)]


def _attempt_from_unknown_network(account: str, user: User | None) -> Attempt:
    """Returns the attempt that a failure in an unknown network counts as.

    The first rejection of a window sends the user a reset link. Using the link makes the network known, so the user can
    always log in. An unknown address takes the same work, and its client gets the same response.
    """

    def offer_link() -> None:
        with suppress(ValueError):  # the client sent text that is no email address
            if rate_limits.count_email(account, "login-blocked", is_wanted=user is not None):
                login_blocked.send(sender=User, email=user.email if user else account)

    return Attempt(
        "login-account",
        account,
        settings.RATE_LOGIN_ACCOUNT,
        account,
        user.pk if user else None,
        is_exposed=False,
        detail=_LINK_EMAILED,
        on_first_rejection=offer_link,
    )


def _account_key(email: str) -> str:
    try:
        return canonical_email(email)
    except ValueError:
        return email.lower()
