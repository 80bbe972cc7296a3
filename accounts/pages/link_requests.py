"""The pages on which a user requests an emailed link, and the redirect to them for password managers."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import email_verification, passwords
from accounts.pages.base import FormPage
from accounts.pages.forms import AddressForm


class LinkRequestPage(FormPage):
    """Sends a link to an address. The page does not reveal whether an account has the address."""

    request_link: Callable[[str], None]
    form_class = AddressForm
    button = _("Send me a link")
    done_heading = _("Check your email")
    done = _("If there is an account with this address, an email is on its way.")

    def perform(self, data: dict[str, Any]) -> HttpResponse:
        self.request_link(data["email"])
        return self.done_page()


class ForgotPassword(LinkRequestPage):
    request_link = staticmethod(passwords.request_reset)
    heading = _("Forgot your password?")
    lead = _("Enter the email address of your %(site)s account. We'll send you a link to choose a new password.")


class ResendVerification(LinkRequestPage):
    request_link = staticmethod(email_verification.request)
    heading = _("Confirm your email address")
    lead = _("Enter the email address of your %(site)s account. We'll send you another link to confirm it.")


def redirect_to_password_change(request: HttpRequest) -> HttpResponse:
    """Redirects a password manager to the page on which the user sets a new password.

    W3C, A Well-Known URL for Changing Passwords.
    """
    frontend = settings.FRONTEND_URL
    return redirect(f"{frontend}/reset-password" if frontend else reverse("admin_password_reset"))
