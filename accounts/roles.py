"""Creates, changes and deletes roles. An actor can grant only permissions that they have themselves."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts import audit, authorization, permissions
from accounts.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from accounts.models import Role, User
from accounts.models.role import MfaPolicy


@transaction.atomic
def create(name: str, permissions: list[str], *, actor: User | None, description: str = "", mfa: str = "") -> Role:
    """Creates a role. Raises PermissionDenied, InvalidInput."""
    authorization.lock_and_check(actor)
    _check_actor_holds(permissions, actor)
    role = Role(name=name, description=description, permissions=_normalized_within_limits(permissions))
    policy = _set_mfa(role, mfa) if mfa else {}
    _save(role, is_new=True)
    audit.record("role:created", None, actor=actor, role=name, permissions=role.permissions, **policy)
    return role


@transaction.atomic
def update(role: Role, *, actor: User | None, **changes: Any) -> Role:
    """Changes name, description, permissions or the policy for second factors. Of the administrator's role, only that
    policy can be changed. The change applies to the next request of each user of the role.

    The actor also needs `roles.assign` to change the default role or one that users have, because that changes the
    permissions of users. Links that were emailed before the role gained a permission stop working.
    `mfa` changes the policy only if it differs from that of `role`, as the caller has read it. A caller who saw no
    change has not asked for a fresh login, and must not undo one that another administrator makes meanwhile.
    Raises PermissionDenied, NotFound, Conflict, InvalidInput.
    """
    read, role = role, _lock_current(role, actor)
    if changes.get("mfa") == read.mfa:
        changes["mfa"] = role.mfa
    if not _permits(role, changes):
        raise Conflict(_("A built-in role cannot be changed."))
    if actor is not None and not may_change(role, actor):
        raise PermissionDenied
    if "permissions" in changes:
        changes["permissions"] = _normalized_within_limits(changes["permissions"])
        _check_actor_holds(changes["permissions"], actor)
        _check_default_role(role, changes["permissions"])
        if not set(changes["permissions"]) <= set(role.permissions):
            role.permissions_gained_at = timezone.now()
    policy = _set_mfa(role, changes.pop("mfa", role.mfa))
    for field, value in changes.items():
        setattr(role, field, value)
    _save(role, is_new=False)
    audit.record("role:changed", None, actor=actor, role=role.name, permissions=role.permissions, **policy)
    return role


def may_change(role: Role, actor: User) -> bool:
    """Returns whether an actor with the permission to change roles may change this one.

    The default role counts as assigned, because each user who registers gets it.
    """
    is_assigned = role.name == permissions.USER or role.users.exists()
    return actor.holds(role.permissions) and (actor.has_perm("roles.assign") or not is_assigned)


@transaction.atomic
def delete(role: Role, *, actor: User | None) -> None:
    """Deletes a role that no user has. Raises PermissionDenied, NotFound, Conflict."""
    role = _lock_current(role, actor)
    if role.is_builtin:
        raise Conflict(_("A built-in role cannot be deleted."))
    _check_actor_holds(role.permissions, actor)
    try:
        role.delete()
    except ProtectedError as error:
        raise Conflict(_("This role is still assigned to at least one user.")) from error
    audit.record("role:deleted", None, actor=actor, role=role.name)


def ensure_builtin(role_model: type[Role] = Role) -> None:
    """Creates the built-in roles, and corrects permissions that an older version allowed them to have."""
    default, _is_new = role_model.objects.get_or_create(
        name=permissions.USER, defaults={"is_builtin": True, "description": gettext_noop("Everybody who registers.")}
    )
    admin, _is_new = role_model.objects.get_or_create(
        name=permissions.ADMIN, defaults={"is_builtin": True, "description": gettext_noop("May do everything.")}
    )
    _set_permissions(default, [name for name in default.permissions if not permissions.is_own(name)])
    _set_permissions(admin, [permissions.ALL, *permissions.PERMISSIONS])


def _set_permissions(role: Role, names: list[str]) -> None:
    if role.permissions != permissions.normalized(names):
        role.permissions = permissions.normalized(names)
        role.save(update_fields=["permissions"])


def _permits(role: Role, changes: dict[str, Any]) -> bool:
    """Returns whether the role may be changed so. A built-in role keeps its name, and that of the administrator all but
    its policy for second factors."""
    fixed = {name for name, value in changes.items() if value != getattr(role, name)}
    if role.is_admin:
        return "mfa" in changes and fixed <= {"mfa"}
    return not (role.is_builtin and "name" in fixed)


def _set_mfa(role: Role, mfa: str) -> dict[str, str]:
    """Sets the policy for second factors. Returns it for the audit event, if it changed.

    Grace periods begin with the first login after it becomes `required`.
    """
    if mfa == role.mfa:
        return {}
    if mfa == MfaPolicy.REQUIRED:
        role.mfa_required_at = timezone.now()
    role.mfa = mfa
    return {"mfa": mfa}


def _lock_current(role: Role, actor: User | None) -> Role:
    """Takes the administration lock, then locks and re-reads the role. Raises PermissionDenied, NotFound."""
    authorization.lock_and_check(actor)
    current = Role.objects.select_for_update().filter(pk=role.pk).first()
    if current is None:
        raise NotFound
    return current


def _save(role: Role, *, is_new: bool) -> None:
    try:
        with transaction.atomic():
            role.save(force_insert=is_new)
    except IntegrityError as error:
        raise InvalidInput("name", "unique", _("A role with this name already exists.")) from error


def _normalized_within_limits(names: list[str]) -> list[str]:
    """Returns the permissions sorted and without duplicates. Raises InvalidInput if an access token can't hold them."""
    names = permissions.normalized(names)
    if len(names) > permissions.PERMISSIONS_PER_ROLE or permissions.length(names) > permissions.PERMISSIONS_LENGTH:
        limits = {"number": permissions.PERMISSIONS_PER_ROLE, "length": permissions.PERMISSIONS_LENGTH}
        detail = _(
            "A role can have at most %(number)d permissions. Their names can take up to %(length)d characters in "
            "total, counting 3 more for each, because access tokens contain them."
        )
        raise InvalidInput("permissions", "max_length", detail % limits)
    return names


def _check_default_role(role: Role, names: list[str]) -> None:
    """Raises Conflict for permissions of UserManager itself: each user who registers gets the default role."""
    if role.name == permissions.USER and any(map(permissions.is_own, names)):
        raise Conflict(_("The default role can't have permissions of UserManager itself."))


def _check_actor_holds(permissions: list[str], actor: User | None) -> None:
    if actor is not None and not actor.holds(permissions):
        raise PermissionDenied
