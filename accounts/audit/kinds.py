"""The kinds of audit events, and what the data of an event may hold."""

from typing import Any

from django.utils.translation import gettext_lazy as _

KINDS = {
    "user:registered": _("Registered"),
    "user:registration_repeated": _("Registered again before the address was confirmed; the password was removed"),
    "user:created": _("Created by an administrator"),
    "user:invited": _("Invited"),
    "user:invitation_accepted": _("Accepted an invitation"),
    "user:invitation_revoked": _("Invitation revoked"),
    "user:changed": _("Changed; data: the fields"),
    "user:role_changed": _("Role changed; data: the old and the new role"),
    "user:suspended": _("Suspended; data: when it ends, if it does"),
    "user:activated": _("Reactivated; no actor if the suspension expired"),
    "user:unlocked": _("Unlocked (failed logins reset)"),
    "user:exported": _("Exported their own data"),
    "users:exported": _("Exported a list of users; data: the filters"),
    "user:deleted": _("Deleted"),
    "login:failed": _("Login failed; data: the error code"),
    "login:pending": _("Right password; the second factor is missing"),
    "mfa:required": _("First login since the role requires a second factor; data: when it must be set up"),
    "factor:added": _("Second factor added; data: its type"),
    "factor:removed": _("Second factor removed; data: its type, and how many sessions ended"),
    "factor:renamed": _("Second factor renamed; data: its type"),
    "factor:reset": _("All second factors reset; data: the reason, and whether the user must add one"),
    "recovery_codes:made": _("New recovery codes created"),
    "recovery_code:used": _("Recovery code used; data: how many are left"),
    "passkey:counter_fell": _("The counter of a passkey did not grow: perhaps it was copied"),
    "session:stepped_up": _("Authenticated again in a session"),
    "limit:reached": _("Rate limit reached; data: the limit's name (logged once per window)"),
    "session:opened": _("Login"),
    "session:closed": _("Logout"),
    "session:revoked": _("Session ended"),
    "session:all_revoked": _("All sessions ended"),
    "session:reuse_detected": _("A superseded refresh token was used; its session was ended"),
    "password:reset_requested": _("An administrator requested a password reset email"),
    "password:reset": _("Password set with an emailed link"),
    "password:changed": _("Password changed"),
    "password:confirmation_failed": _("Wrong current password when asked to confirm an action"),
    "email:verification_requested": _("An administrator requested a confirmation email"),
    "email:verified": _("Address confirmed"),
    "email:change_requested": _("Change of address requested"),
    "email:changed": _("Address changed"),
    "role:created": _("Role created"),
    "role:changed": _("Role changed"),
    "role:deleted": _("Role deleted"),
    "import:started": _("Import of users started or resumed"),
    "import:finished": _("Import of users finished; data: the number of lines for each outcome"),
    "mail:retried": _("Sent an email again; data: its ID and kind"),
    "mail:cancelled": _("Cancelled an email; data: its ID and kind"),
    "key:rotated": _("New key for signing or encryption; data: its ID"),
    "key:revoked": _("Signing key revoked"),
}

# The order in which the data of an event is shown. PostgreSQL's jsonb sorts keys by length, and loses their order.
DATA_ORDER = (
    *(
        "role",
        "type",
        "factor",
        "passkey",
        "old",
        "new",
        "reason",
        "until",
        "enrol",
        "fields",
        "filters",
        "code",
        "method",
        "left",
        "scope",
        "session",
        "sessions",
    ),
    *("permissions", "mfa", "mail", "mail_kind", "kid", "use", "lines_done", "created", "updated", "skipped"),
    "rejected",
    "warnings",
)


def ordered(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the data in the order of DATA_ORDER, with any other keys after them by name: alike on both databases."""
    known = [name for name in DATA_ORDER if name in data]
    return {name: data[name] for name in (*known, *sorted(data.keys() - set(known)))}
