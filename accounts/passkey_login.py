"""Logs a user in with a passkey alone, which must have verified the user: two factors at once."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NoReturn

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit, authorization, credentials, login
from accounts.errors import AccountError, InvalidCredentials, InvalidSecondFactor, NotFound, TokenNotValid
from accounts.limits import rate_limits
from accounts.login import SignIn
from accounts.mfa import attempts, challenges, passkey_options, passkeys, policy
from accounts.models import Passkey, User


def begin() -> dict[str, Any]:
    """Returns the options with which a browser uses a passkey, alike for all users. Raises NotFound if PASSKEY_LOGIN is
    off."""
    _require_enabled()
    return passkey_options.for_login()


def _allow(user: User) -> None:
    """Accepts every user."""


def finish(
    answer: Mapping[str, Any], *, lifetime: timedelta | None = None, require: Callable[[User], None] = _allow
) -> SignIn:
    """Opens a session for the user of the passkey. It lasts for `lifetime` or SESSION_LIFETIME.

    `require` raises an AccountError for a user who may not log in here. It is called only after a right answer.

    Raises NotFound if PASSKEY_LOGIN is off, Throttled, InvalidCredentials for every wrong answer and, only after a
    right one, AccountSuspended, EmailNotVerified and EnrolmentRequired. A failure counts against the client.
    """
    _require_enabled()
    attempt = rate_limits.client_attempt("passkey-ip", settings.RATE_PASSKEY_IP)
    rate_limits.consume([attempt])
    passkey = passkeys.find(answer)
    if passkey is None:
        _reject(None, InvalidSecondFactor())
    try:
        sign_in = _sign_in(passkey, answer, lifetime, require)
    except (InvalidSecondFactor, TokenNotValid) as error:
        _reject(passkey.user, error)
    except AccountError:  # the answer was right, and something else was not
        rate_limits.refund([attempt])
        raise
    rate_limits.refund([attempt])
    attempts.reset(passkey.user)
    return sign_in


def _sign_in(
    passkey: Passkey, answer: Mapping[str, Any], lifetime: timedelta | None, require: Callable[[User], None]
) -> SignIn:
    proof = passkeys.check_assertion(passkey, answer, challenges.ANONYMOUS)
    credentials.reject_unless_may_log_in(passkey.user)
    require(passkey.user)
    policy.require_not_overdue(passkey.user)
    with transaction.atomic():
        user = authorization.lock_oneself(passkey.user)
        proof.use_up()
        return login.sign_in(user, proof, lifetime=lifetime)


def _reject(user: User | None, error: InvalidSecondFactor | TokenNotValid) -> NoReturn:
    """Records the failure. The client doesn't learn whether the passkey is known."""
    rejected = InvalidCredentials(_("This passkey was not accepted."))
    with transaction.atomic():
        audit.record("login:failed", user, actor=None, code=rejected.code, method="passkey")
        if user and isinstance(error, InvalidSecondFactor):
            attempts.record_fallen_counter(user, error)
    raise rejected from error


def _require_enabled() -> None:
    if not settings.PASSKEY_LOGIN:
        raise NotFound
