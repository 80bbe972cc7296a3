"""Administering users: create, change, suspend, delete; the same rules for the API, the admin panel and manage.py.

`actor` is who does it, None for somebody at the machine itself, who may do everything.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts import (
    audit,
    authority,
    credentials,
    deletion,
    hashers,
    invitations,
    roles,
    sessions,
    suspension,
    throttling,
    tokens,
)
from accounts.addresses import canonical_email
from accounts.errors import AddressTaken, InvalidInput, PermissionDenied
from accounts.models import Role, Session, User
from accounts.signals import (
    email_changed,
    email_verification_requested,
    password_reset_requested,
    user_registered,
)

SAME_CHANGE = timedelta(minutes=1)  # within which identical changes make one audit event


def create(email: str, *, actor: User | None, password: str | None = None, **fields: Any) -> User:
    """A new user; without a password they are invited by mail to choose one.

    `fields` are those of the model. Raises PermissionDenied, InvalidInput, AddressTaken, Overloaded.
    """
    role = fields.pop("role", None) or Role.objects.get(name=roles.USER)
    user = User(email=email, role=role, **fields)
    _check_assignment(role, actor=actor)
    if password is None:
        user.password = make_password(None)
    else:
        user.password = credentials.new_hash(password, user, field="password", actor=actor)
    with _unique_address():
        authority.check(actor)
        user.role = _current(role)
        _check_assignment(user.role, actor=actor)
        user.save(force_insert=True)
        audit.record("user:created", user, actor=actor, role=role.name)
        if password is not None:
            user_registered.send(sender=User, user=user)
        elif user.is_active:
            invitations.owe(user, actor=actor)
    return user


def update(user: User, *, actor: User | None, **changes: Any) -> User:
    """Changes any of email, full_name, role, is_active, email_verified, locale and metadata.

    Another address ends the user's sessions and is to be confirmed unless it is said to be; another spelling of the
    same one does neither. Another role that holds permissions ends the links that were mailed before.
    Raises PermissionDenied, NotFound, LastAdmin, AddressTaken.
    """
    _count_own(user, actor)
    with _unique_address(), authority.changing(user, actor) as current:
        changed = {name: value for name, value in changes.items() if getattr(current, name) != value}
        if "role" in changed:
            _assign(current, changed.pop("role"), actor=actor)
        if "is_active" in changed:
            _set_active(current, changed.pop("is_active"), actor=actor)
        if "email" in changed and canonical_email(changed["email"]) != current.email_key:
            changed.pop("email_verified", None)
            _move(current, changed.pop("email"), changes.get("email_verified", False), actor=actor)
        if changed:
            _set(current, changed, actor=actor)
    return current


def set_role(user: User, role: Role, *, actor: User | None) -> User:
    """Gives the user another role. Raises PermissionDenied, NotFound, LastAdmin."""
    return update(user, actor=actor, role=role)


def suspend(user: User, *, actor: User | None, reason: str = "", until: datetime | None = None) -> User:
    """Ends all sessions and mailed links of the user and lets no new ones begin until then, or until activate().

    Suspending somebody again replaces the end and the reason. Raises InvalidInput, PermissionDenied, NotFound,
    LastAdmin.
    """
    _count_own(user, actor)
    suspension.check_end(until)
    with authority.changing(user, actor) as current:
        has_reason = reason in ("", current.suspension_reason)
        if current.is_active or not has_reason or current.suspended_until != until:
            suspension.begin(current, actor=actor, reason=reason, until=until)
    return current


def activate(user: User, *, actor: User | None) -> User:
    """Lets a suspended user log in again. Raises PermissionDenied, NotFound."""
    _count_own(user, actor)
    with authority.changing(user, actor) as current:
        if not current.is_active:
            suspension.end(current, actor=actor)
    return current


def unlock(user: User, *, actor: User | None) -> User:
    """Forgets the failed logins of the user. Raises PermissionDenied, NotFound."""
    _count_own(user, actor)
    with authority.changing(user, actor) as current:
        credentials.forget_failures(current)
        audit.record("user:unlocked", current, actor=actor)
    return current


def send_password_reset(user: User, *, actor: User | None) -> None:
    """Owes the user a reset link. Raises PermissionDenied, NotFound."""
    _count_own(user, actor)
    with authority.changing(user, actor) as current:
        audit.record("password:reset_requested", current, actor=actor)
        password_reset_requested.send(sender=User, email=current.email)


def send_verification(user: User, *, actor: User | None) -> None:
    """Owes the user a new confirmation link. Raises PermissionDenied, NotFound."""
    _count_own(user, actor)
    with authority.changing(user, actor) as current:
        audit.record("email:verification_requested", current, actor=actor)
        email_verification_requested.send(sender=User, email=current.email)


def revoke_sessions(user: User, *, actor: User | None) -> int:
    """Signs the user out everywhere; returns how many sessions ended. Raises PermissionDenied, NotFound."""
    _count_own(user, actor, "write-security")
    with authority.changing(user, actor) as current:
        return sessions.revoke_all(current, actor=actor)


def revoke_session(user: User, session: Session, *, actor: User | None) -> None:
    """Ends one session of the user. Raises PermissionDenied, NotFound."""
    _count_own(user, actor, "write-security")
    with authority.changing(user, actor):
        sessions.close(session, actor=actor)


def delete(user: User, *, actor: User | None) -> None:
    """Removes the user and everything of theirs; audit events keep the id alone. Never call it in a transaction.

    Raises PermissionDenied, NotFound, LastAdmin.
    """
    with authority.changing(user, actor) as current:
        deletion.begin(current, actor=actor)
    deletion.finish(current)


def delete_own(user: User, current_password: str) -> None:
    """Lets a user leave. Raises InvalidInput, LastAdmin, Throttled, Overloaded."""
    with throttling.counted([throttling.user_try(user, "write", settings.RATE_WRITE)]):
        credentials.confirm(user, current_password)
    with authority.changing(user, user) as current:
        credentials.hold(user)
        deletion.begin(current, actor=user)
    deletion.finish(current)


def ensure_first_admin(email: str, password: str = "") -> str | None:
    """Makes the first admin when there is none; returns the password that was made up for them, if one was.

    Raises InvalidInput for a password that is not good enough, and Overloaded.
    """
    if User.objects.filter(role__name=roles.ADMIN).exists():
        return None
    made_up = None if password else secrets.token_urlsafe(12)
    user = User.objects.with_address(email) or User(email=email)
    user.role = Role.objects.get(name=roles.ADMIN)
    user.is_active = user.email_verified = True
    user.suspended_until, user.suspension_reason = None, ""
    user.password = hashers.make(made_up) if made_up else credentials.new_hash(password, user, field="password")
    with transaction.atomic():
        user.save()
        tokens.end_all(user)  # a stranger may have registered the address before
        sessions.revoke_all(user, actor=None)
        audit.record("user:created", user, actor=None, role=roles.ADMIN)
    return made_up


def _count_own(user: User, actor: User | None, scope: str = "write") -> None:
    """Counts what a user does to their own account. Raises Throttled.

    What ends sessions counts apart, or a thief with a token could use the limit up and keep its owner from it.
    """
    if actor is not None and actor.pk == user.pk:
        throttling.take([throttling.user_try(user, scope, settings.RATE_WRITE)])


@contextmanager
def _unique_address() -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError as fault:
        if not User.is_address_taken(fault):
            raise
        raise AddressTaken("email") from fault


def _check_assignment(role: Role, *, actor: User | None) -> None:
    """Nobody hands out what they do not hold; the default role needs no permission to hand out."""
    if actor is None or (role.name == roles.USER and actor.holds_role(role)):
        return
    if not actor.has_perm("roles.assign") or not actor.holds_role(role):
        raise PermissionDenied


def _current(role: Role) -> Role:
    """The role as stored now, which may have been changed or removed since it was read. Raises InvalidInput."""
    current = Role.objects.filter(pk=role.pk).first()
    if current is None:
        raise InvalidInput("role", "does_not_exist", _("There is no such role any more."))
    return current


def _assign(user: User, role: Role, *, actor: User | None) -> None:
    role = _current(role)
    if actor is not None and not (actor.has_perm("roles.assign") and actor.holds_role(role)):
        raise PermissionDenied
    old, user.role = user.role, role
    user.save(update_fields=["role"])
    audit.record("user:role_changed", user, actor=actor, old=old.name, new=role.name)
    if role.permissions:
        _end_mailed_links(user, actor=actor)


def _end_mailed_links(user: User, *, actor: User | None) -> None:
    """For a user who holds other permissions now; an open invitation is mailed again."""
    is_invited = invitations.state(user) == invitations.State.SENT
    tokens.end_mailed(user)
    if is_invited:
        invitations.owe(user, actor=actor)


def _set_active(user: User, is_active: bool, *, actor: User | None) -> None:
    if is_active:
        suspension.end(user, actor=actor)
    else:
        suspension.begin(user, actor=actor, reason="", until=None)


def _move(user: User, email: str, is_verified: bool, *, actor: User | None) -> None:
    """Ends all sessions and mailed links: they may be those of the old address's owner.

    An invitation that is open goes to the new address.
    """
    is_invited = invitations.state(user) in invitations.OPEN
    old_email, user.email, user.email_verified = user.email, email, is_verified
    user.save(update_fields=["email", "email_verified"])
    tokens.end_all(user)
    sessions.revoke_all(user, actor=actor)
    audit.record("email:changed", user, actor=actor)
    email_changed.send(sender=User, user=user, old_email=old_email)
    if is_invited:
        invitations.owe(user, actor=actor)
    elif not is_verified:
        email_verification_requested.send(sender=User, email=email)


def _set(user: User, changes: dict[str, Any], *, actor: User | None) -> None:
    for name, value in changes.items():
        setattr(user, name, value)
    user.save(update_fields=list(changes))
    audit.record_once("user:changed", user, actor=actor, within=SAME_CHANGE, fields=sorted(changes))
