"""Creating, changing and removing roles; nobody grants what they do not hold."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone
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
    role = Role(name=name, description=description, permissions=_bounded(permissions))
    _save(role, is_new=True)
    audit.record("role:created", None, actor=actor, role=name, permissions=role.permissions)
    return role


@transaction.atomic
def update(role: Role, *, actor: User | None, **changes: Any) -> Role:
    """Changes name, description or permissions; holds for the next request of everybody who has the role.

    A role that a user has, or the next visitor gets, takes `roles.assign`, too: changing it gives them other
    permissions. Links that were mailed before the role gained a permission stop working.
    Raises PermissionDenied, NotFound, Conflict, InvalidInput.
    """
    role = _current(role, actor)
    if role.is_admin or (role.is_builtin and changes.get("name", role.name) != role.name):
        raise Conflict(_("A built-in role cannot be changed."))
    if actor is not None and not may_change(role, actor):
        raise PermissionDenied
    if "permissions" in changes:
        changes["permissions"] = _bounded(changes["permissions"])
        _check_holds(changes["permissions"], actor)
        _check_default(role, changes["permissions"])
        if not set(changes["permissions"]) <= set(role.permissions):
            role.permissions_gained_at = timezone.now()
    for field, value in changes.items():
        setattr(role, field, value)
    _save(role, is_new=False)
    audit.record("role:changed", None, actor=actor, role=role.name, permissions=role.permissions)
    return role


def may_change(role: Role, actor: User) -> bool:
    """Whether the actor, who may change roles, may change this one. The next visitor who registers gets the default."""
    is_given = role.name == roles.USER or role.users.exists()
    return actor.holds(role.permissions) and (actor.has_perm("roles.assign") or not is_given)


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
    """Makes the built-in roles, and corrects what an older version let them hold."""
    default, _is_new = role_model.objects.get_or_create(
        name=roles.USER, defaults={"is_builtin": True, "description": gettext_noop("Everybody who registers.")}
    )
    admin, _is_new = role_model.objects.get_or_create(
        name=roles.ADMIN, defaults={"is_builtin": True, "description": gettext_noop("May do everything.")}
    )
    _set_permissions(default, [name for name in default.permissions if not roles.is_own(name)])
    _set_permissions(admin, [roles.ALL, *roles.PERMISSIONS])


def _set_permissions(role: Role, permissions: list[str]) -> None:
    if role.permissions != roles.normalized(permissions):
        role.permissions = roles.normalized(permissions)
        role.save(update_fields=["permissions"])


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
    except IntegrityError as fault:
        raise InvalidInput("name", "unique", _("There is a role with this name already.")) from fault


def _bounded(permissions: list[str]) -> list[str]:
    """The permissions in order, each once. Raises InvalidInput for more than an access token can hold."""
    permissions = roles.normalized(permissions)
    if len(permissions) > roles.PERMISSIONS_PER_ROLE or roles.length(permissions) > roles.PERMISSIONS_LENGTH:
        limits = {"number": roles.PERMISSIONS_PER_ROLE, "length": roles.PERMISSIONS_LENGTH}
        detail = _(
            "A role holds at most %(number)d permissions, of %(length)d characters in all, counting 3 more for each: "
            "access tokens carry them."
        )
        raise InvalidInput("permissions", "max_length", detail % limits)
    return permissions


def _check_default(role: Role, permissions: list[str]) -> None:
    """The default role goes to every user who registers. Raises Conflict."""
    if role.name == roles.USER and any(map(roles.is_own, permissions)):
        raise Conflict(_("The default role cannot hold permissions of UserManager itself."))


def _check_holds(permissions: list[str], actor: User | None) -> None:
    if actor is not None and not actor.holds(permissions):
        raise PermissionDenied
