"""Counts attempts at the second factor of a user, before they are checked.

The counters are not those of the password. Only a client that knows the password can fill them, and a password reset
does not empty them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.errors import InvalidSecondFactor, InvalidToken, PasskeyCounterFell
from accounts.limits import rate_limits
from accounts.limits.rate_limits import Attempt
from accounts.limits.rates import Rate
from accounts.models import User
from accounts.signals import second_factor_failed

RESETS_BY_ADMINISTRATORS = Rate(5, timedelta(days=1))  # per user whose counters they delete


@contextmanager
def counted(user: User, method: str, *, follows_password: bool = False) -> Iterator[None]:
    """Counts an attempt by `method` and runs the block, which checks the proof and uses it up.

    InvalidSecondFactor from the block is recorded. If the attempt follows the right password, the user gets an email
    about the first failure in a window. InvalidToken is not counted, because another request has used up or ended the
    pending login. A success deletes the counters. Raises Throttled before it runs the block.
    """
    limits = [_in_window(user), _in_a_row(user)] if method == "totp" else [_in_window(user)]
    rate_limits.consume(limits)
    try:
        yield
    except InvalidSecondFactor as error:
        _record_failure(user, error, method, follows_password=follows_password)
        raise
    except InvalidToken:
        rate_limits.refund(limits)
        raise
    reset(user)


@transaction.atomic(savepoint=False)
def reset(user: User) -> None:
    """Deletes the counters of the user, with one commit, in the order in which counted() locks them."""
    for attempt in sorted([_in_window(user), _in_a_row(user)], key=lambda attempt: attempt.bucket_key):
        rate_limits.reset(attempt)


def reset_by_administrator(user: User) -> Attempt:
    """Returns the attempt that counts how often administrators delete the counters of a user, all together.

    Each time, the user has five more guesses at a code.
    """
    return rate_limits.user_attempt(user, "second-factor-reset", RESETS_BY_ADMINISTRATORS)


def record_fallen_counter(user: User, error: InvalidSecondFactor) -> None:
    """Records that the counter of a passkey did not grow, if this is the error."""
    if isinstance(error, PasskeyCounterFell):
        audit.record("passkey:counter_fell", user, actor=None, passkey=str(error.passkey))


def _record_failure(user: User, error: InvalidSecondFactor, method: str, *, follows_password: bool) -> None:
    once = Rate(1, settings.RATE_SECOND_FACTOR.period)
    first = Attempt("second-factor-email", str(user.pk), once, is_exposed=False, is_audited=False)
    is_first = follows_password and settings.RATE_LIMITS and rate_limits.count_silently(first)
    with transaction.atomic():
        audit.record("login:failed", user, actor=None, code=error.code, method=method)
        record_fallen_counter(user, error)
        if is_first:
            second_factor_failed.send(sender=User, user=user)


def _in_window(user: User) -> Attempt:
    """Returns the attempt that counts for all methods and all pending logins together."""
    return rate_limits.user_attempt(user, "second-factor", settings.RATE_SECOND_FACTOR)


def _in_a_row(user: User) -> Attempt:
    """Returns the attempt that counts codes without a success between them: at five codes in 15 minutes, guessing one
    of a million would otherwise succeed within years."""
    return rate_limits.user_attempt(user, "second-factor-row", settings.RATE_SECOND_FACTOR_ROW)
