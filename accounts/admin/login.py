"""Login and logout of the panel, with the same password check, rate limits and sessions as the API.

A user who has a second factor, or needs one, is not signed in here: LoginForm keeps the error, from which second_step
continues.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth import login as django_login
from django.contrib.auth import logout as django_logout
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import SuspiciousOperation
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit, credentials, login, passkey_login, passwords, sessions
from accounts.admin.proof_forms import as_validation_error
from accounts.errors import (
    AccountError,
    EmailNotVerified,
    EnrolmentRequired,
    PermissionDenied,
    TokenNotValid,
)
from accounts.forms import add_account_error
from accounts.mfa import submitted_proofs
from accounts.mfa.proofs import PASSWORD
from accounts.models import Session, User

SESSION_KEY = "accounts.session"  # in Django's session, a signed cookie: the id of our session
RESET = gettext_lazy(
    "An administrator reset your second factor. Please open the link in the email that we sent you, and set up a new "
    "one."
)
LIFETIME = timedelta(seconds=settings.SESSION_COOKIE_AGE)


class LoginForm(AdminAuthenticationForm):
    """Shows the same errors as the API. Without the right password or passkey, the client learns nothing about the
    account."""

    error: AccountError | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": ""} | options)
        self.has_passkey = settings.PASSKEY_LOGIN and "passkey" in self.data
        for field in self.fields.values():
            field.required = not self.has_passkey
        if settings.PASSKEY_LOGIN:
            self.fields["username"].widget.attrs["autocomplete"] = "username webauthn"

    def clean(self) -> dict[str, Any]:
        try:
            self.user_cache = self._sign_in_with_passkey() if self.has_passkey else self._check_password()
        except AccountError as error:
            self.error = error
            raise as_validation_error(error) from error
        if self.request is not None:
            # Ends the session of a user who is still signed in with this browser. Without it, Django's login would drop
            # the cookie of another user and leave their session open.
            django_logout(self.request)
        return self.cleaned_data

    def _check_password(self) -> User:
        email, password = self.cleaned_data.get("username", ""), self.cleaned_data.get("password", "")
        user = credentials.check_password(email, password)
        _require_access(user)
        try:
            login.begin_second_step_if_needed(user)
        except EnrolmentRequired as error:
            if error.members["needs_mail"]:
                raise EnrolmentRequired(RESET, members=error.members) from error
            raise
        return user

    def _sign_in_with_passkey(self) -> User:
        """Opens a session, which _open_session() finds, for the answer that passkeys.js sends in a form of its own."""
        answer = submitted_proofs.read_passkey(self.data["passkey"])
        session = passkey_login.finish(answer, lifetime=LIFETIME, require=_require_access).session
        if self.request is not None:
            self.request.opened_session = session  # type: ignore[attr-defined]
        return session.user


class PasswordForm(AdminPasswordChangeForm):
    """The form in which a user of the panel changes their own password."""

    def clean_old_password(self) -> str:
        """Leaves the check to change_password(), which counts the attempt and computes one hash."""
        return str(self.cleaned_data["old_password"])

    def clean(self) -> dict[str, Any]:
        new = self.cleaned_data.get("new_password1"), self.cleaned_data.get("new_password2")
        if all(new) and new[0] != new[1]:
            self.add_error("new_password2", _("The two passwords don't match."))
        return self.cleaned_data

    def change_password(self, *, keep: Session | None) -> bool:
        """Changes the password and ends all sessions except `keep`; tells whether it did, and adds the error if not."""
        data = self.cleaned_data
        try:
            passwords.change(self.user, data["old_password"], str(data["new_password1"]), keep=keep)
        except AccountError as error:
            add_account_error(self, error, {"current_password": "old_password", "new_password": "new_password1"})
        return not self.errors

    def save(self, commit: bool = True) -> User:
        """Saves nothing: Django's view calls it after change_password()."""
        return self.user


class PasswordChange(PasswordChangeView):
    form_class = PasswordForm
    success_url = reverse_lazy("admin:password_change_done")

    def form_valid(self, form: Any) -> HttpResponse:
        if not form.change_password(keep=get_session(self.request)):
            return self.form_invalid(form)
        return super().form_valid(form)


def enter(request: HttpRequest, session: Session) -> None:
    """Signs in the user of a session that was opened with all their proofs."""
    request.opened_session = session  # type: ignore[attr-defined]
    django_login(request, session.user)


def get_session(request: HttpRequest) -> Session | None:
    """Returns the active session of the signed-in user, or None. It ends like the user's other sessions."""
    if not hasattr(request, "panel_session"):
        request.panel_session = _find_session(request)  # type: ignore[attr-defined]
    session: Session | None = request.panel_session  # type: ignore[attr-defined]
    return session


def _require_access(user: User) -> None:
    """Raises PermissionDenied or EmailNotVerified, and records the failed login, unless the user may use the panel."""
    if not user.is_staff:
        denied = PermissionDenied(_("Your account doesn't have access to the admin panel."))
        error = EmailNotVerified() if user.has_dormant_permissions else denied
        audit.record("login:failed", user, actor=None, code=error.code)
        raise error


def _find_session(request: HttpRequest) -> Session | None:
    named = request.session.get(SESSION_KEY)
    if not named or not isinstance(request.user, User):
        return None
    try:
        session = sessions.find(UUID(named), request.user.pk)
    except TokenNotValid:
        return None
    sessions.record_use(session)
    return session


@receiver(user_logged_in)
def _open_session(sender: object, request: HttpRequest, user: User, **_options: Any) -> None:
    """Opens a session after the password alone, which login.open_session() rejects for a user with a second factor.

    enter() and a login with a passkey have opened it already.
    """
    session = request.__dict__.pop("opened_session", None) or _after_password(request, user)
    request.session[SESSION_KEY] = str(session.pk)
    request.panel_session = session  # type: ignore[attr-defined]


def _after_password(request: HttpRequest, user: User) -> Session:
    try:
        return login.open_session(user, PASSWORD, lifetime=LIFETIME)[0]
    except AccountError as error:  # the user has changed since the form was checked
        request.session.flush()
        raise SuspiciousOperation from error


@receiver(user_logged_out)
def _close_session(sender: object, request: HttpRequest, **_options: Any) -> None:
    named = request.session.pop(SESSION_KEY, None)
    session = Session.objects.select_related("user").filter(pk=named).first() if named else None
    if session is not None:
        sessions.close(session, actor=session.user)
