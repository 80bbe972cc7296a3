"""Entering and leaving the panel: the same check, limits and sessions as those of the API."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import SuspiciousOperation
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import audit, credentials, login, passwords, sessions
from accounts.errors import AccountError, EmailNotVerified, InvalidCredentials, PermissionDenied, TokenNotValid
from accounts.forms import take_refusal
from accounts.models import Session, User

KEY = "accounts.session"  # in Django's session, a signed cookie that holds no more than a pointer to ours


class LoginForm(AdminAuthenticationForm):
    """Says why somebody may not enter in the words of the API; what is refused to the right password, only then."""

    refusal: AccountError | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": ""} | options)

    def clean(self) -> dict[str, Any]:
        try:
            self.user_cache = _check(self.cleaned_data.get("username", ""), self.cleaned_data.get("password", ""))
        except AccountError as refusal:
            self.refusal = refusal
            raise forms.ValidationError([str(refusal.detail), *self._when_again()], refusal.code) from refusal
        return self.cleaned_data

    @property
    def retry_after(self) -> int | None:
        """Seconds until another try is worth it."""
        return self.refusal.retry_after_seconds if self.refusal else None

    def _when_again(self) -> list[str]:
        if self.retry_after is None:
            return []
        minutes = max(1, -(-self.retry_after // 60))
        return [ngettext("Try again in %d minute.", "Try again in %d minutes.", minutes) % minutes]


class PasswordForm(AdminPasswordChangeForm):
    """Changes one's own password; the sessions elsewhere end, this one goes on."""

    keep: Session | None = None

    def clean_old_password(self) -> str:
        """Checked with the rest, so that it is counted and hashed once."""
        return str(self.cleaned_data["old_password"])

    def clean(self) -> dict[str, Any]:
        new = self.cleaned_data.get("new_password1"), self.cleaned_data.get("new_password2")
        if all(new) and new[0] != new[1]:
            self.add_error("new_password2", _("The two passwords differ."))
        elif all(new) and not self.errors:
            self._change(str(new[0]))
        return self.cleaned_data

    def save(self, commit: bool = True) -> User:
        """It is changed by now."""
        return self.user

    def _change(self, new_password: str) -> None:
        fields = {"current_password": "old_password", "new_password": "new_password1"}
        try:
            passwords.change(self.user, self.cleaned_data["old_password"], new_password, keep=self.keep)
        except AccountError as refusal:
            take_refusal(self, refusal, fields)


class PasswordChange(PasswordChangeView):
    form_class = PasswordForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        form.keep = session_of(self.request)  # type: ignore[attr-defined]
        return form


def session_of(request: HttpRequest) -> Session | None:
    """The living session of whoever is signed in to the panel; it ends as all others of theirs do."""
    if not hasattr(request, "panel_session"):
        request.panel_session = _find(request)  # type: ignore[attr-defined]
    session: Session | None = request.panel_session  # type: ignore[attr-defined]
    return session


def _check(email: str, password: str) -> User:
    user = credentials.check(email, password)
    if not user.is_staff:
        denied = PermissionDenied(_("Your role permits nothing here."))
        refusal = EmailNotVerified() if user.has_dormant_permissions else denied
        audit.record("login:failed", user, actor=None, code=refusal.code)
        raise refusal
    return user


def _find(request: HttpRequest) -> Session | None:
    named = request.session.get(KEY)
    if not named or not isinstance(request.user, User):
        return None
    try:
        session = sessions.find(UUID(named), request.user.pk)
    except TokenNotValid:
        return None
    sessions.note_use(session)
    return session


@receiver(user_logged_in)
def _open(sender: object, request: HttpRequest, user: User, **_options: Any) -> None:
    _close(sender, request)
    try:
        session, _refresh = login.open_session(user, lifetime=timedelta(seconds=settings.SESSION_COOKIE_AGE))
    except InvalidCredentials as refusal:  # since the form was checked
        request.session.flush()
        raise SuspiciousOperation from refusal
    request.session[KEY] = str(session.pk)
    request.panel_session = session  # type: ignore[attr-defined]


@receiver(user_logged_out)
def _close(sender: object, request: HttpRequest, **_options: Any) -> None:
    named = request.session.pop(KEY, None)
    session = Session.objects.select_related("user").filter(pk=named).first() if named else None
    if session is not None:
        sessions.close(session, actor=session.user)
