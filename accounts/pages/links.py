"""The pages behind emailed links. A GET request changes nothing; the button calls the same use case as the API."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from accounts import email_change, email_verification, invitations, one_time_tokens, passwords
from accounts.errors import AccountError, InvalidToken
from accounts.forms import set_retry_after
from accounts.limits import rate_limits
from accounts.models import OneTimeToken, User
from accounts.one_time_tokens import Purpose
from accounts.pages.base import FormPage, render_page
from accounts.pages.forms import InvitationForm, ResetForm

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class LinkPage(FormPage):
    """The page of an emailed link: a form while the link works, an error page afterwards.

    A working link shows the page in the language of the user that it was emailed to. Other visitors see the language
    of their browser, so the page reveals nothing about the user.
    Only a POST request counts as an attempt. Any other site can make a visitor's browser send GET requests, which would
    use up the visitor's own limit. The form's other fields may be invalid, so the attempt is counted before they are
    checked, and the use case looks up the token again.
    """

    purpose: Purpose
    use_case: Callable[..., User]
    next_step: "StrOrPromise"
    resend_page = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        is_submitted = request.method == "POST"
        self.secret = (request.POST if is_submitted else request.GET).get("token", "")
        try:
            with rate_limits.token_attempt() if is_submitted else nullcontext():
                token = _find_token(self.secret, self.purpose)
        except AccountError as error:
            return self._error_page(error)
        self.email, self.user = token.email, token.user
        with translation.override(token.user.locale or translation.get_language()):
            return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.form_page(self.form_class(initial={"full_name": self.user.full_name}))

    def perform(self, data: dict[str, Any]) -> HttpResponse:
        try:
            user = self.use_case(self.secret, **data)
        except InvalidToken as error:  # another request has used the token meanwhile
            return self._error_page(error)
        return self.done_page(user.email, **self._next_steps(user))

    def _next_steps(self, user: User) -> dict[str, str]:
        return {"home_url": settings.FRONTEND_URL, "admin_url": reverse("admin:index") if user.is_staff else ""}

    def _error_page(self, error: AccountError) -> HttpResponse:
        context = {"heading": error.title, "text": error.detail}
        if isinstance(error, InvalidToken):
            context |= {"next_step": self.next_step, "resend_url": self.resend_page and reverse(self.resend_page)}
        return set_retry_after(render_page(self.request, "accounts/message.html", context, error.status), error)


class ResetPassword(LinkPage):
    purpose = Purpose.PASSWORD_RESET
    use_case = staticmethod(passwords.reset)
    form_class = ResetForm
    heading = _("Choose a new password")
    lead = _("This changes the password of your %(site)s account and signs you out on all your devices.")
    button = _("Save the password")
    done_heading = _("Your password was changed")
    done = _("Sign in to %(site)s as %(email)s with the new password.")
    next_step = _("Your current password stays the same.")
    resend_page = "admin_password_reset"


class VerifyEmail(LinkPage):
    purpose = Purpose.VERIFY_EMAIL
    use_case = staticmethod(email_verification.confirm)
    heading = _("Confirm your email address")
    lead = _("Please confirm that this is the email address of your %(site)s account.")
    button = _("Confirm my address")
    done_heading = _("Your email address is confirmed")
    done = _("Thank you. You can now continue to %(site)s.")
    next_step = _("If you've already confirmed your address, you don't need to do anything.")
    resend_page = "resend-verification"

    def _next_steps(self, user: User) -> dict[str, str]:
        """Leads the owner of an account without a password to the page that sends a link to choose one."""
        if user.has_usable_password() or user.is_uninvited:
            return super()._next_steps(user)
        next_step = str(_("Your account has no password yet. We can send you a link to choose one."))
        return {"next_step": next_step, "choose_password_url": reverse(ResetPassword.resend_page)}


class ChangeEmail(LinkPage):
    purpose = Purpose.EMAIL_CHANGE
    use_case = staticmethod(email_change.confirm)
    heading = _("Confirm your new email address")
    lead = _("You'll use this address to sign in to %(site)s and to receive our emails.")
    button = _("Use this address")
    done_heading = _("Your email address was changed")
    done = _("From now on, sign in to %(site)s as %(email)s.")
    next_step = _("If your address hasn't changed yet, request the change again in your account.")


class AcceptInvitation(LinkPage):
    purpose = Purpose.INVITATION
    use_case = staticmethod(invitations.accept)
    form_class = InvitationForm
    heading = _("Accept the invitation")
    lead = _("You've been invited to %(site)s. Choose a password to get started.")
    button = _("Accept invitation")
    done_heading = _("Welcome to %(site)s")
    done = _("Your account is ready. Sign in as %(email)s with your password.")
    next_step = _("If you haven't accepted the invitation yet, ask the person who invited you to send it again.")


def _find_token(secret: str, purpose: Purpose) -> OneTimeToken:
    """Returns the token without using it up; also a used one if it confirms an address, as the API allows.

    Raises InvalidToken.
    """
    find = one_time_tokens.find_including_used if purpose == Purpose.VERIFY_EMAIL else one_time_tokens.find
    return find(secret, purpose)
