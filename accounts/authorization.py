"""Re-checks the actor's permissions inside the transaction; they may have changed since authentication."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import permissions
from accounts.errors import LastAdmin, NotFound, PermissionDenied, TokenNotValid
from accounts.models import Role, User, constant_queries

_NONE_CONFIRMED = _("No active administrator with a confirmed address would be left.")


def lock_and_check(actor: User | None) -> None:
    """Takes the administration lock, then re-reads the actor and checks that they still hold all their permissions.

    Call it first in the transaction of the change. The lock is the row of the admin role: it lets one such change run
    at a time, so that two administrators can't demote each other. Raises TokenNotValid if the actor was suspended or
    deleted, and PermissionDenied.
    """
    Role.objects.select_for_update().get(name=permissions.ADMIN)
    if actor is None:
        return
    current = User.objects.select_related("role").filter(pk=actor.pk, is_active=True).first()
    if current is None:
        raise TokenNotValid
    if not current.holds(actor.permissions):
        raise PermissionDenied


def lock_oneself(user: User) -> User:
    """Locks and re-reads a user who changes what they alone decide. Raises TokenNotValid if they were suspended.

    Takes no administration lock, for which such changes of all users would wait. Call it inside a transaction.
    """
    current = constant_queries.lock_user(user.pk)
    if current is None or not current.is_active:
        raise TokenNotValid
    return current


@contextmanager
def locked_for_change(user: User, actor: User | None) -> Iterator[User]:
    """Yields the user, re-read and locked, if the actor may change them. Takes the administration lock first.

    After the block, an administrator must be left: an active one, with a confirmed address, because without that an
    administrator has no permissions. Raises TokenNotValid, PermissionDenied, NotFound, LastAdmin.
    """
    with transaction.atomic():
        lock_and_check(actor)
        current = User.objects.select_related("role").select_for_update(of=("self",)).filter(pk=user.pk).first()
        if current is None or current.deletion_began_at:
            raise NotFound
        _check_rank(current, actor)
        admins = _admins_like(current)
        yield current
        if admins is not None and not admins.exists():
            raise LastAdmin(_NONE_CONFIRMED if current.role.is_admin and current.is_active and current.pk else None)


def _admins_like(user: User) -> QuerySet[User] | None:
    """Returns the administrators of whom one must be left after the change, or None if the user isn't one.

    If the user's address is confirmed, only administrators with a confirmed address count: others have no permissions.
    """
    if not (user.role.is_admin and user.is_active):
        return None
    if user.email_verified:
        return User.objects.administrators()
    return User.objects.filter(role__name=permissions.ADMIN, is_active=True)


def _check_rank(user: User, actor: User | None) -> None:
    """Raises PermissionDenied unless the actor holds all permissions of the user's role. These count even before the
    user's address is confirmed."""
    if actor is not None and actor.pk != user.pk and not actor.holds_permissions_of(user.role):
        raise PermissionDenied
