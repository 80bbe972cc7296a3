"""What an actor may do at the moment of the deed, which need not be what they could when their request began."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import roles
from accounts.errors import LastAdmin, NotFound, PermissionDenied, TokenNotValid
from accounts.models import Role, User

_NONE_CONFIRMED = _("No active administrator with a confirmed address would be left.")


def check(actor: User | None) -> None:
    """Makes sure that the actor has lost nothing since they were read, and lets nobody lose anything meanwhile.

    Call it first in the transaction of the deed: the lock on the admin role lets one such change run at a time, so
    that two admins cannot demote each other. Raises TokenNotValid for who was suspended or deleted, PermissionDenied.
    """
    Role.objects.select_for_update().get(name=roles.ADMIN)
    if actor is None:
        return
    current = User.objects.select_related("role").filter(pk=actor.pk, is_active=True).first()
    if current is None:
        raise TokenNotValid
    if not current.holds(actor.permissions):
        raise PermissionDenied


@contextmanager
def changing(user: User, actor: User | None) -> Iterator[User]:
    """The user as stored now, locked, for somebody who may change them; afterwards an admin must be left.

    An administrator without a confirmed address may do nothing, and so is none that could be left.
    Raises TokenNotValid, PermissionDenied, NotFound, LastAdmin.
    """
    with transaction.atomic():
        check(actor)
        current = User.objects.select_related("role").select_for_update(of=("self",)).filter(pk=user.pk).first()
        if current is None or current.deletion_began_at:
            raise NotFound
        _check_rank(current, actor)
        admins = _admins_like(current)
        yield current
        if admins is not None and not admins.exists():
            raise LastAdmin(_NONE_CONFIRMED if current.role.is_admin and current.is_active and current.pk else None)


def _admins_like(user: User) -> QuerySet[User] | None:
    """Those of whom one must be left when the user has changed; None for a user who administers nothing.

    Of an administrator, those with a confirmed address: the others may do nothing.
    """
    if not (user.role.is_admin and user.is_active):
        return None
    if user.email_verified:
        return User.objects.administrators()
    return User.objects.filter(role__name=roles.ADMIN, is_active=True)


def _check_rank(user: User, actor: User | None) -> None:
    """Refuses an actor whose permissions do not include the role of the user, which counts before the user's address is
    confirmed, too. Raises PermissionDenied."""
    if actor is not None and actor.pk != user.pk and not actor.holds_role(user.role):
        raise PermissionDenied
