"""The permissions there are, and the roles that are built in."""

import re
from collections.abc import Iterable

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

USER = "user"
ADMIN = "admin"
ALL = "*"  # every permission, the operator's too: what an administrator's role and token hold

PERMISSIONS = {
    "users.view": _("See all users"),
    "users.add": _("Create and invite users"),
    "users.change": _("Change, suspend and unlock users"),
    "users.delete": _("Delete users"),
    "roles.view": _("See roles"),
    "roles.change": _("Create, change and remove roles"),
    "roles.assign": _("Give users another role"),
    "sessions.view": _("See the sessions of all users"),
    "sessions.revoke": _("End the sessions of all users"),
    "audit.view": _("See the audit events of all users"),
    "mails.view": _("See the outgoing mails"),
    "mails.change": _("Send mails again or cancel them"),
}
_SHAPE = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+")
#: The first words of UserManager's own permissions; `mfa` is reserved for those of a second factor.
_OWN = {ALL, "mfa", *(name.split(".")[0] for name in PERMISSIONS)}
NAME_LENGTH = 64
PERMISSION_LENGTH = 100
PERMISSIONS_PER_ROLE = 200
#: Characters of all permissions of a role as JSON. With the longest address and name of a role, an access token with so
#: many stays under 4 KB: a browser's cookie holds no more, and gunicorn refuses a header of 8 KB.
PERMISSIONS_LENGTH = 2000

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
validate_name = RegexValidator(rf"^{_NAME.pattern}\Z", _("Use lower case letters, digits, - and _."))


def is_name(text: str) -> bool:
    """Whether a role may be called so."""
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None


def is_permission(name: str) -> bool:
    """Whether a role may hold it: one of ours, or one of the operator's own applications such as `billing.refund`."""
    if is_own(name):
        return name in PERMISSIONS
    return len(name) <= PERMISSION_LENGTH and _SHAPE.fullmatch(name) is not None


def is_own(name: str) -> bool:
    """Whether the permission is one of UserManager's own or `*`, and not one of the operator's applications."""
    return name.split(".", maxsplit=1)[0] in _OWN


def length(permissions: Iterable[str]) -> int:
    """How many characters the permissions take in a token: each with its quotes and a comma."""
    return sum(len(name) + 3 for name in permissions)


def normalized(permissions: Iterable[str]) -> list[str]:
    return sorted(set(permissions))
