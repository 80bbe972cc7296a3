"""What an actor may do at the moment of the deed, which need not be what they could when their request began."""

from accounts import roles
from accounts.errors import PermissionDenied
from accounts.models import Role, User


def check(actor: User | None) -> None:
    """Makes sure that the actor has lost nothing since they were read, and lets nobody lose anything meanwhile.

    Call it first in the transaction of the deed: the lock on the admin role lets one such change run at a time, so
    that two admins cannot demote each other. Raises PermissionDenied.
    """
    Role.objects.select_for_update().get(name=roles.ADMIN)
    if actor is None:
        return
    current = User.objects.select_related("role").filter(pk=actor.pk, is_active=True).first()
    if current is None or not current.holds_role(actor.role):
        raise PermissionDenied
