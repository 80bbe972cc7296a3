"""Creates, changes, suspends and deletes users, with the same rules for the API, the admin panel and manage.py.

`actor` is the user who does it. It is None for an operator at the command line, who may do everything.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts import (
    audit,
    authorization,
    credentials,
    deletion,
    invitations,
    one_time_tokens,
    permissions,
    sessions,
    suspension,
)
from accounts.email_addresses import canonical_email
from accounts.errors import AddressTaken, InvalidInput, PermissionDenied
from accounts.hashing import hashers
from accounts.limits import rate_limits
from accounts.models import Role, Session, User
from accounts.signals import email_changed, email_verification_requested, password_reset_requested, user_registered

OWN_FIELDS = {"full_name", "locale"}  # users change these themselves, and gain nothing by it


def create(email: str, *, actor: User | None, password: str | None = None, **fields: Any) -> User:
    """Creates a user. Without a password, the user is invited by email to choose one.

    `fields` are fields of the model. Raises PermissionDenied, InvalidInput, AddressTaken, Overloaded.
    """
    role = fields.pop("role", None) or Role.objects.get(name=permissions.USER)
    user = User(email=email, role=role, **fields)
    _check_may_assign(role, actor=actor)
    if password is None:
        user.password = make_password(None)
    else:
        user.password = credentials.hash_new_password(password, user, field="password", actor=actor)
    with _unique_address(), transaction.atomic():
        authorization.lock_and_check(actor)
        user.role = _get_current_role(role)
        _check_may_assign(user.role, actor=actor)
        user.save(force_insert=True)
        audit.record("user:created", user, actor=actor, role=role.name)
        if password is not None:
            user_registered.send(sender=User, user=user)
        elif user.is_active:
            invitations.send(user, actor=actor)
    return user


def update(user: User, *, actor: User | None, **changes: Any) -> User:
    """Changes any of email, full_name, role, is_active, email_verified, locale and metadata.

    Another address ends the user's sessions, and has to be confirmed unless `email_verified` is among the changes.
    Another spelling of the same address does neither. Another role with permissions ends the links emailed before.
    Raises PermissionDenied, NotFound, LastAdmin, AddressTaken.
    """
    if actor is not None and actor.pk == user.pk and changes.keys() <= OWN_FIELDS:
        return _update_oneself(user, changes)
    _count_own_action(user, actor)
    with _unique_address(), authorization.locked_for_change(user, actor) as current:
        changed = _without_equal_values(current, changes)
        if "role" in changed:
            _assign_role(current, changed.pop("role"), actor=actor)
        if "is_active" in changed:
            _set_active(current, changed.pop("is_active"), actor=actor)
        if "email" in changed and canonical_email(changed["email"]) != current.email_key:
            changed.pop("email_verified", None)
            _change_email(current, changed.pop("email"), changes.get("email_verified", False), actor=actor)
        if changed:
            _save_changes(current, changed, actor=actor)
    return current


def _update_oneself(user: User, changes: dict[str, Any]) -> User:
    with rate_limits.consumed([rate_limits.user_attempt(user, "write", settings.RATE_WRITE)]):
        current = authorization.lock_oneself(user)
        if changed := _without_equal_values(current, changes):
            _save_changes(current, changed, actor=user)
    return current


def set_role(user: User, role: Role, *, actor: User | None) -> User:
    """Gives the user another role. Raises PermissionDenied, NotFound, LastAdmin."""
    return update(user, actor=actor, role=role)


def suspend(user: User, *, actor: User | None, reason: str = "", until: datetime | None = None) -> User:
    """Ends all sessions and emailed links of the user, and prevents new ones until `until` or activate().

    Suspending a suspended user replaces the end and the reason. Raises InvalidInput, PermissionDenied, NotFound,
    LastAdmin.
    """
    _count_own_action(user, actor)
    suspension.validate_end(until)
    with authorization.locked_for_change(user, actor) as current:
        has_reason = reason in ("", current.suspension_reason)
        if current.is_active or not has_reason or current.suspended_until != until:
            suspension.begin(current, actor=actor, reason=reason, until=until)
    return current


def activate(user: User, *, actor: User | None) -> User:
    """Ends the suspension, so that the user can log in again. Raises PermissionDenied, NotFound."""
    _count_own_action(user, actor)
    with authorization.locked_for_change(user, actor) as current:
        if not current.is_active:
            suspension.end(current, actor=actor)
    return current


def unlock(user: User, *, actor: User | None) -> User:
    """Resets the limits that credentials.reset_limits() names. Raises PermissionDenied, NotFound, Throttled."""
    _count_own_action(user, actor)
    resets = credentials.resets_of(user, actor)
    with rate_limits.consumed(resets), authorization.locked_for_change(user, actor) as current:
        credentials.reset_limits(current, actor=actor)
        audit.record("user:unlocked", current, actor=actor)
    return current


def send_password_reset(user: User, *, actor: User | None) -> None:
    """Sends the user a reset link. Raises PermissionDenied, NotFound."""
    _count_own_action(user, actor)
    with authorization.locked_for_change(user, actor) as current:
        audit.record("password:reset_requested", current, actor=actor)
        password_reset_requested.send(sender=User, email=current.email)


def send_verification(user: User, *, actor: User | None) -> None:
    """Sends the user another confirmation link. Raises PermissionDenied, NotFound."""
    _count_own_action(user, actor)
    with authorization.locked_for_change(user, actor) as current:
        audit.record("email:verification_requested", current, actor=actor)
        email_verification_requested.send(sender=User, email=current.email)


def revoke_sessions(user: User, *, actor: User | None) -> int:
    """Ends all sessions of the user and returns their number. Raises PermissionDenied, NotFound."""
    _count_own_action(user, actor, "write-security")
    with authorization.locked_for_change(user, actor) as current:
        return sessions.revoke_all(current, actor=actor)


def revoke_session(user: User, session: Session, *, actor: User | None) -> None:
    """Ends one session of the user. Raises PermissionDenied, NotFound."""
    _count_own_action(user, actor, "write-security")
    with authorization.locked_for_change(user, actor):
        sessions.close(session, actor=actor)


def delete(user: User, *, actor: User | None) -> None:
    """Deletes the user with all their data. Audit events keep only the id. Never call it in a transaction.

    Raises PermissionDenied, NotFound, LastAdmin.
    """
    with authorization.locked_for_change(user, actor) as current:
        deletion.begin(current, actor=actor)
    deletion.finish(current)


def delete_own(user: User, current_password: str) -> None:
    """Deletes the account of a user who asks for it. Raises InvalidInput, LastAdmin, Throttled, Overloaded."""
    with rate_limits.consumed_unless_overloaded([rate_limits.user_attempt(user, "write", settings.RATE_WRITE)]):
        credentials.confirm_password(user, current_password)
    with authorization.locked_for_change(user, user) as current:
        credentials.lock_if_password_unchanged(user)
        deletion.begin(current, actor=user)
    deletion.finish(current)


def ensure_first_admin(email: str, password: str = "") -> str | None:
    """Creates an administrator if there is none. Returns the generated password, or None if one was given.

    Raises InvalidInput for a password that the policy rejects, and Overloaded.
    """
    if User.objects.filter(role__name=permissions.ADMIN).exists():
        return None
    generated = None if password else secrets.token_urlsafe(12)
    user = User.objects.find_by_email(email) or User(email=email)
    user.role = Role.objects.get(name=permissions.ADMIN)
    user.is_active = user.email_verified = True
    user.suspended_until, user.suspension_reason = None, ""
    user.password = (
        hashers.make(generated) if generated else credentials.hash_new_password(password, user, field="password")
    )
    with transaction.atomic():
        user.save()
        one_time_tokens.end_all_and_invitation(user)  # a stranger may have registered the address before
        sessions.revoke_all(user, actor=None)
        audit.record("user:created", user, actor=None, role=permissions.ADMIN)
    return generated


def _count_own_action(user: User, actor: User | None, scope: str = "write") -> None:
    """Counts an action of a user on their own account. Raises Throttled.

    Ending sessions has a limit of its own. Otherwise a thief with a stolen token could use up the limit, and the owner
    could not end the thief's session.
    """
    if actor is not None and actor.pk == user.pk:
        rate_limits.consume([rate_limits.user_attempt(user, scope, settings.RATE_WRITE)])


@contextmanager
def _unique_address() -> Iterator[None]:
    """Tells that another user has the address. The block must end its own transaction."""
    try:
        yield
    except IntegrityError as error:
        if not User.is_email_conflict(error):
            raise
        raise AddressTaken("email") from error


def _check_may_assign(role: Role, *, actor: User | None) -> None:
    """Raises PermissionDenied if the role has permissions that the actor lacks.

    Any role except the default one also takes `roles.assign`.
    """
    if actor is None or (role.name == permissions.USER and actor.holds_permissions_of(role)):
        return
    if not actor.has_perm("roles.assign") or not actor.holds_permissions_of(role):
        raise PermissionDenied


def _get_current_role(role: Role) -> Role:
    """Re-reads the role, which may have been changed or deleted since. Raises InvalidInput."""
    current = Role.objects.filter(pk=role.pk).first()
    if current is None:
        raise InvalidInput("role", "does_not_exist", _("This role no longer exists."))
    return current


def _assign_role(user: User, role: Role, *, actor: User | None) -> None:
    role = _get_current_role(role)
    if actor is not None and not (actor.has_perm("roles.assign") and actor.holds_permissions_of(role)):
        raise PermissionDenied
    old, user.role, user.mfa_required_since = user.role, role, None
    user.save(update_fields=["role", "mfa_required_since"])
    audit.record("user:role_changed", user, actor=actor, old=old.name, new=role.name)
    if role.permissions:
        _end_emailed_links(user, actor=actor)


def _end_emailed_links(user: User, *, actor: User | None) -> None:
    """Ends the links of a user whose permissions have changed. Sends an open invitation again."""
    is_invited = invitations.state_of(user) == invitations.State.SENT
    one_time_tokens.delete_unused(user)
    if is_invited:
        invitations.send(user, actor=actor)


def _set_active(user: User, is_active: bool, *, actor: User | None) -> None:
    if is_active:
        suspension.end(user, actor=actor)
    else:
        suspension.begin(user, actor=actor, reason="", until=None)


def _change_email(user: User, email: str, is_verified: bool, *, actor: User | None) -> None:
    """Changes the address and ends all sessions and emailed links, which may belong to the old address's owner.

    Sends an open invitation again, to the new address.
    """
    is_invited = invitations.state_of(user) in invitations.OPEN_STATES
    old_email, user.email, user.email_verified = user.email, email, is_verified
    user.save(update_fields=["email", "email_verified"])
    one_time_tokens.end_all_and_invitation(user)
    sessions.revoke_all(user, actor=actor)
    audit.record("email:changed", user, actor=actor)
    email_changed.send(sender=User, user=user, old_email=old_email)
    if is_invited:
        invitations.send(user, actor=actor)
    elif not is_verified:
        email_verification_requested.send(sender=User, email=email)


def _without_equal_values(user: User, changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if getattr(user, name) != value}


def _save_changes(user: User, changes: dict[str, Any], *, actor: User | None) -> None:
    for name, value in changes.items():
        setattr(user, name, value)
    user.save(update_fields=list(changes))
    audit.record_once("user:changed", user, actor=actor, fields=sorted(changes))
