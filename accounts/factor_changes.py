"""Renames, removes and resets second factors, and makes new recovery codes."""

from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import audit, authorization, one_time_tokens, sessions
from accounts.errors import Conflict
from accounts.limits import rate_limits
from accounts.mfa import attempts, factors, pending_logins, policy, recovery_codes
from accounts.mfa.factors import Factor
from accounts.models import Passkey, TotpSecret, User
from accounts.one_time_tokens import Purpose
from accounts.signals import factor_removed, recovery_codes_made, second_factors_reset

#: The links that change how a user signs in. Others, such as that of an invitation, survive a reset.
LINKS = (Purpose.PASSWORD_RESET, Purpose.EMAIL_CHANGE, Purpose.SECOND_FACTOR)


def rename(user: User, factor: UUID, name: str) -> Factor:
    """Gives a factor of the user another name. Raises NotFound, Throttled."""
    with rate_limits.consumed([rate_limits.user_attempt(user, "write", settings.RATE_WRITE)]):
        user = authorization.lock_oneself(user)
        found = factors.find(user, factor)
        if found.name != name:
            factors.rows_of(found).update(name=name)
            data = {"type": found.type, "factor": str(found.id)}
            audit.record_once("factor:renamed", user, actor=user, **data)
    return found._replace(name=name)


def remove(user: User, factor: UUID) -> None:
    """Removes a factor of the user, and ends the sessions whose last proof was this factor.

    Call it after a fresh login. With the last factor, the recovery codes and all sessions with a second factor end.
    Raises Conflict for the last factor of a user whose role requires one, NotFound, Throttled.
    """
    _count(user)
    with transaction.atomic():
        user = authorization.lock_oneself(user)
        found = factors.find(user, factor)
        is_last = len(factors.of_user(user)) == 1
        if is_last and policy.is_required(user):
            raise Conflict(_("Your role requires a second factor. Add another one before you remove this one."))
        factors.rows_of(found).delete()
        if is_last:
            _record_no_factor_left(user)
        ended = sessions.end_those_proven_with(user, None if is_last else found.id)
        audit.record("factor:removed", user, actor=user, type=found.type, factor=str(found.id), sessions=ended)
        factor_removed.send(sender=User, user=user, factor=found.name)


def make_recovery_codes(user: User) -> list[str]:
    """Replaces the recovery codes and returns the new ones, which can't be shown again. Call it after a fresh login.

    Raises Conflict for a user without a second factor, and Throttled.
    """
    _count(user)
    with transaction.atomic():
        user = authorization.lock_oneself(user)
        if not user.mfa_enabled:
            raise Conflict(_("Recovery codes replace a second factor, and you have none."))
        codes = recovery_codes.replace(user)
        audit.record("recovery_codes:made", user, actor=user)
        recovery_codes_made.send(sender=User, user=user)
    return codes


def reset(user: User, *, actor: User | None, reason: str = "", enrol: bool = True) -> None:
    """Removes all second factors of another user, who may have lost them. Call it after a fresh login of the actor.

    Ends the user's sessions, pending logins and the emailed links that change how they sign in. With `enrol`, the next
    login must add a second factor, with the password and an emailed link. The audit event keeps the reason.
    Raises Conflict for the actor's own account, PermissionDenied, NotFound.
    """
    if actor is not None and actor.pk == user.pk:
        raise Conflict(_("You can't reset your own second factors. Remove them one by one."))
    with authorization.locked_for_change(user, actor) as current:
        current.mfa_reset_at = timezone.now() if enrol else None
        current.mfa_required_since = None  # without `enrol`, a new grace period begins
        TotpSecret.objects.filter(user=current).delete()
        Passkey.objects.filter(user=current).delete()
        _record_no_factor_left(current)
        one_time_tokens.end(current, *LINKS)
        audit.record("factor:reset", current, actor=actor, reason=reason, enrol=enrol)
        sessions.revoke_all(current, actor=actor)
        second_factors_reset.send(sender=User, user=current, must_enrol=enrol)


def _record_no_factor_left(user: User) -> None:
    """Records that the locked user has no factor any more, and deletes what is of no use without one."""
    user.mfa_enabled = False
    user.save(update_fields=["mfa_enabled", "mfa_reset_at", "mfa_required_since"])
    recovery_codes.delete(user)
    pending_logins.end_all(user)
    attempts.reset(user)


def _count(user: User) -> None:
    """Counts a change that needs a fresh login. Its limit is separate: an attacker who has only an access token can use
    up that of other changes."""
    rate_limits.consume([rate_limits.user_attempt(user, "write-security", settings.RATE_WRITE)])
