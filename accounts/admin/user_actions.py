"""The actions on one user: the buttons of the user's page, two of which are actions of the list, too."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from accounts import factor_changes, invitations, users
from accounts.admin.actions import Action
from accounts.admin.user_forms import ReasonForm, SuspendForm
from accounts.models import User


def _has_password(user: User) -> bool:
    return user.is_active and user.has_usable_password()


ACTIVATE: Action[User] = Action(
    "activate",
    _("Activate"),
    users.activate,
    lambda user: not user.is_active,
    announcement=ngettext_lazy("%d user will be activated.", "%d users will be activated."),
    done=_("The user can log in again."),
)
SUSPEND: Action[User] = Action(
    "suspend",
    _("Suspend"),
    users.suspend,
    lambda user: user.is_active,
    announcement=ngettext_lazy("%d user will be suspended.", "%d users will be suspended."),
    done=_("The user is logged out everywhere and can't log in."),
    help=_("Ends all sessions and emailed links. Deletes nothing."),
    form=SuspendForm,
)
ON_USER_PAGE: tuple[Action[User], ...] = (
    Action(
        "invite",
        _("Resend invitation"),
        invitations.invite,
        lambda user: user.is_active and not user.has_usable_password(),
        done=_("The invitation was sent."),
        help=_("The user hasn't set a password yet."),
    ),
    Action(
        "uninvite",
        _("Revoke invitation"),
        invitations.revoke,
        lambda user: invitations.state_of(user) in invitations.OPEN_STATES,
        done=_("The invitation was revoked."),
        help=_("The links in the invitation stop working."),
    ),
    Action(
        "confirmation",
        _("Resend confirmation"),
        users.send_verification,
        lambda user: _has_password(user) and not user.email_verified,
        done=_("A confirmation link was sent."),
        help=_("The email address isn't confirmed yet."),
    ),
    Action(
        "reset",
        _("Send password reset link"),
        users.send_password_reset,
        _has_password,
        done=_("A reset link was sent."),
        help=_("The user chooses a new password."),
    ),
    Action(
        "unlock",
        _("Clear failed logins"),
        users.unlock,
        _has_password,
        done=_("Failed logins were cleared."),
        help=_("The user can try again immediately."),
    ),
    Action(
        "sign-out",
        _("Log out everywhere"),
        users.revoke_sessions,
        lambda user: user.sessions.active().exists(),
        done=_("The user is logged out everywhere."),
        permission="sessions.revoke",
    ),
    Action(
        "reset-factors",
        _("Reset second factors"),
        factor_changes.reset,
        lambda user: user.mfa_enabled or user.mfa_reset_at is not None,  # the emailed link may have ended
        done=_("The second factors were removed. The user gets an email with a link to set up a new one."),
        help=_("Logs the user out everywhere. The next login needs the password and the emailed link."),
        permission="mfa.reset",
        form=ReasonForm,
        needs_fresh_login=True,
        is_for_oneself=False,
    ),
    ACTIVATE,
    SUSPEND,
)


def find(name: str) -> Action[User] | None:
    return next((action for action in ON_USER_PAGE if action.name == name), None)


def offered(user: User, actor: User) -> list[Action[User]]:
    """Returns the actions that would change the user and that the actor has the permission for."""
    actions = [action for action in ON_USER_PAGE if actor.has_perm(action.permission) and action.is_applicable(user)]
    return [action for action in actions if action.is_for_oneself or user != actor]
