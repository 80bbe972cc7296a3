"""The permissions there are, and the roles that are built in."""

import re
from collections.abc import Iterable

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

USER = "user"
ADMIN = "admin"

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
_OURS = {name.split(".")[0] for name in PERMISSIONS}
NAME_LENGTH = 64
PERMISSION_LENGTH = 100
PERMISSIONS_PER_ROLE = 200

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
validate_name = RegexValidator(rf"^{_NAME.pattern}\Z", _("Use lower case letters, digits, - and _."))


def is_name(text: str) -> bool:
    """Whether a role may be called so."""
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None


def is_permission(name: str) -> bool:
    """Whether a role may hold it: one of ours, or one of the operator's own applications such as `billing.refund`."""
    if name.split(".", maxsplit=1)[0] in _OURS:
        return name in PERMISSIONS
    return len(name) <= PERMISSION_LENGTH and _SHAPE.fullmatch(name) is not None


def normalized(permissions: Iterable[str]) -> list[str]:
    return sorted(set(permissions))
