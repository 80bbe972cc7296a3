"""What can be done to a user by pressing a button on their page; each is one use case."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts import invitations, users
from accounts.admin.user_forms import SuspendForm
from accounts.models import User

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


@dataclass(frozen=True)
class Deed:
    """`run` takes the user and, by keyword, the actor and what the form asked for, if there is one."""

    name: str
    label: "_StrPromise"
    done: "_StrPromise"
    run: Callable[..., Any]
    is_offered: Callable[[User], bool]
    help: "_StrPromise | str" = ""
    permission: str = "users.change"
    form: type[forms.Form] | None = None

    def asks(self, data: Any = None) -> forms.Form | None:
        """The form to fill in before the button is pressed, with ids of its own on the page."""
        return self.form(data, auto_id=f"{self.name}-%s", label_suffix="") if self.form else None


def _has_password(user: User) -> bool:
    return user.is_active and user.has_usable_password()


DEEDS = (
    Deed(
        "invite",
        _("Send the invitation again"),
        _("An invitation is on its way."),
        invitations.invite,
        lambda user: user.is_active and not user.has_usable_password(),
        help=_("They have not chosen a password yet."),
    ),
    Deed(
        "uninvite",
        _("Take the invitation back"),
        _("The invitation is taken back."),
        invitations.revoke,
        lambda user: invitations.state(user) in invitations.OPEN,
        help=_("Its links stop working."),
    ),
    Deed(
        "confirmation",
        _("Send the confirmation again"),
        _("A confirmation link is on its way."),
        users.send_verification,
        lambda user: _has_password(user) and not user.email_verified,
        help=_("Their address is not confirmed yet."),
    ),
    Deed(
        "reset",
        _("Send a reset link"),
        _("A reset link is on its way."),
        users.send_password_reset,
        _has_password,
        help=_("They choose a new password themselves."),
    ),
    Deed(
        "unlock",
        _("Forget failed logins"),
        _("Their failed logins are forgotten."),
        users.unlock,
        _has_password,
        help=_("Lets them try again at once."),
    ),
    Deed(
        "sign-out",
        _("Sign out everywhere"),
        _("They are signed out everywhere."),
        users.revoke_sessions,
        lambda user: user.sessions.alive().exists(),
        permission="sessions.revoke",
    ),
    Deed(
        "activate",
        _("Activate"),
        _("They may log in again."),
        users.activate,
        lambda user: not user.is_active,
    ),
    Deed(
        "suspend",
        _("Suspend"),
        _("They are signed out everywhere and may not log in."),
        users.suspend,
        lambda user: user.is_active,
        help=_("Ends their sessions and mailed links; nothing is deleted."),
        form=SuspendForm,
    ),
)


def find(name: str) -> Deed | None:
    return next((deed for deed in DEEDS if deed.name == name), None)


def offered(user: User, actor: User) -> list[Deed]:
    """The buttons that make sense for the user as they are now, and that the actor may press."""
    return [deed for deed in DEEDS if actor.has_perm(deed.permission) and deed.is_offered(user)]
