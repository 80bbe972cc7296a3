"""The permissions that exist, and the names of the built-in roles."""

import re
from collections.abc import Iterable

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

USER = "user"
ADMIN = "admin"
ALL = "*"  # every permission, including those of the operator's applications; held by the administrator's role

PERMISSIONS = {
    "users.view": _("See all users"),
    "users.add": _("Create and invite users"),
    "users.change": _("Change, suspend and unlock users"),
    "users.delete": _("Delete users"),
    "roles.view": _("See roles"),
    "roles.change": _("Create, change and delete roles"),
    "roles.assign": _("Give users another role"),
    "sessions.view": _("See the sessions of all users"),
    "sessions.revoke": _("End the sessions of all users"),
    "audit.view": _("See the audit events of all users"),
    "mails.view": _("See the outgoing emails"),
    "mails.change": _("Send emails again or cancel them"),
    "mfa.reset": _("Reset the second factors of users"),
}
_PERMISSION_NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+")
#: The first words of UserManager's own permissions.
_OWN = {ALL, *(name.split(".")[0] for name in PERMISSIONS)}
ROLE_NAME_LENGTH = 64
PERMISSION_LENGTH = 100
PERMISSIONS_PER_ROLE = 200
#: Characters of all permissions of a role as JSON. An access token with as many, the longest address and the longest
#: role name stays under 4 KB. A browser's cookie holds no more, and gunicorn rejects a header of 8 KB.
PERMISSIONS_LENGTH = 2000

_ROLE_NAME = re.compile(r"[a-z][a-z0-9_-]*")
validate_role_name = RegexValidator(rf"^{_ROLE_NAME.pattern}\Z", _("Use lower case letters, digits, - and _."))


def is_role_name(text: str) -> bool:
    """Returns whether the text is a valid name of a role."""
    return len(text) <= ROLE_NAME_LENGTH and _ROLE_NAME.fullmatch(text) is not None


def is_permission(name: str) -> bool:
    """Returns whether UserManager has the permission, or an operator's application may: `billing.refund`."""
    if is_own(name):
        return name in PERMISSIONS
    return len(name) <= PERMISSION_LENGTH and _PERMISSION_NAME.fullmatch(name) is not None


def is_own(name: str) -> bool:
    """Returns whether the permission is UserManager's own or `*`, and not one of the operator's applications."""
    return name.split(".", maxsplit=1)[0] in _OWN


def length(permissions: Iterable[str]) -> int:
    """Returns the number of characters of the permissions in a token, each with its quotes and a comma."""
    return sum(len(name) + 3 for name in permissions)


def normalized(permissions: Iterable[str]) -> list[str]:
    return sorted(set(permissions))
