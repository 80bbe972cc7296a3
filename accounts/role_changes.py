"""Creating, changing and removing roles; nobody grants what they do not hold."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts import audit, authority, roles
from accounts.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from accounts.models import Role, User


@transaction.atomic
def create(name: str, permissions: list[str], *, actor: User | None, description: str = "") -> Role:
    """A new role. Raises PermissionDenied, InvalidInput."""
    authority.check(actor)
    _check_holds(permissions, actor)
    role = Role(name=name, description=description, permissions=roles.normalized(permissions))
    _save(role, is_new=True)
    audit.record("role:created", None, actor=actor, role=name, permissions=role.permissions)
    return role


@transaction.atomic
def update(role: Role, *, actor: User | None, **changes: Any) -> Role:
    """Changes name, description or permissions; holds for the next request of everybody who has the role.

    Raises PermissionDenied, NotFound, Conflict, InvalidInput.
    """
    role = _current(role, actor)
    if role.is_admin or (role.is_builtin and changes.get("name", role.name) != role.name):
        raise Conflict(_("A built-in role cannot be changed."))
    _check_holds(role.permissions, actor)
    if "permissions" in changes:
        changes["permissions"] = roles.normalized(changes["permissions"])
        _check_holds(changes["permissions"], actor)
    for field, value in changes.items():
        setattr(role, field, value)
    _save(role, is_new=False)
    audit.record("role:changed", None, actor=actor, role=role.name, permissions=role.permissions)
    return role


@transaction.atomic
def delete(role: Role, *, actor: User | None) -> None:
    """Removes a role that nobody has. Raises PermissionDenied, NotFound, Conflict."""
    role = _current(role, actor)
    if role.is_builtin:
        raise Conflict(_("A built-in role cannot be removed."))
    _check_holds(role.permissions, actor)
    try:
        role.delete()
    except ProtectedError as fault:
        raise Conflict(_("Somebody has this role.")) from fault
    audit.record("role:deleted", None, actor=actor, role=role.name)


def ensure_builtin(role_model: type[Role] = Role) -> None:
    """Makes the built-in roles, and gives the admin's every permission there is by now."""
    role_model.objects.get_or_create(
        name=roles.USER, defaults={"is_builtin": True, "description": gettext_noop("Everybody who registers.")}
    )
    admin, _is_new = role_model.objects.get_or_create(
        name=roles.ADMIN, defaults={"is_builtin": True, "description": gettext_noop("May do everything.")}
    )
    others = role_model.objects.exclude(pk=admin.pk).values_list("permissions", flat=True)
    known = set(roles.PERMISSIONS).union(*others)
    if set(admin.permissions) != known:
        admin.permissions = roles.normalized(known)
        admin.save(update_fields=["permissions"])


def _current(role: Role, actor: User | None) -> Role:
    """The role as stored now, which may have been changed or removed since it was read. Raises NotFound."""
    authority.check(actor)
    current = Role.objects.select_for_update().filter(pk=role.pk).first()
    if current is None:
        raise NotFound
    return current


def _save(role: Role, *, is_new: bool) -> None:
    try:
        with transaction.atomic():
            role.save(force_insert=is_new)
            ensure_builtin()
    except IntegrityError as fault:
        raise InvalidInput("name", "unique", _("There is a role with this name already.")) from fault


def _check_holds(permissions: list[str], actor: User | None) -> None:
    if actor is not None and not actor.holds(permissions):
        raise PermissionDenied
