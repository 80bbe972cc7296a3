"""The pages behind mailed links, in plain HTML: opening one changes nothing, its button does what the API does.

Two more send a link anew, so that whoever comes with one that is over need not turn back.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _
from django.views import View

from accounts import addresses_change, invitations, password_policy, passwords, registration, throttling, tokens
from accounts.addresses import ADDRESS_LENGTH, validate_email
from accounts.errors import AccountError, InvalidToken
from accounts.forms import FullNameField, take_refusal
from accounts.models import OneTimeToken, User
from accounts.tokens import Purpose

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


class NewPasswordField(forms.CharField):
    """A password to the letter, which a password manager may make up; how good it is, the policy says."""

    def __init__(self, label: "_StrOrPromise") -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
        super().__init__(label=label, strip=False, widget=widget, help_text=lazy(password_policy.advice, str)())


class ResetForm(forms.Form):
    new_password = NewPasswordField(_("New password"))


class InvitationForm(forms.Form):
    full_name = FullNameField(label=_("Your name"), attrs={"autocomplete": "name"})
    password = NewPasswordField(_("Password"))


class AddressForm(forms.Form):
    email = forms.CharField(
        label=_("Your email address"),
        max_length=ADDRESS_LENGTH,
        validators=[validate_email],
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class FormPage(View):
    """A form with a button, and what comes of it. Its texts may name the `site` and the `email` that it is about."""

    http_method_names = ("get", "head", "post", "options")
    form_class: type[forms.Form] = forms.Form
    heading: "_StrOrPromise"
    lead: "_StrOrPromise"
    button: "_StrOrPromise"
    done_heading: "_StrOrPromise"
    done: "_StrOrPromise"
    email = ""
    secret = ""

    def carry_out(self, data: dict[str, Any]) -> HttpResponse:
        """Does what the button says, and answers. Raises AccountError."""
        raise NotImplementedError

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._ask(self.form_class())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self.form_class(request.POST)
        if not form.is_valid():
            return self._ask(form, 400)
        try:
            return self.carry_out(form.cleaned_data)
        except AccountError as refusal:
            take_refusal(form, refusal)
            return _delayed(self._ask(form, refusal.status), refusal)

    def _ask(self, form: forms.Form, status: int = 200) -> HttpResponse:
        _focus_fault(form)
        context = {
            "heading": self.heading,
            "text": self._fill(self.lead, self.email),
            "email": self.email,
            "secret": self.secret,
            "form": form,
            "button": self.button,
        }
        return _page(self.request, "accounts/form.html", context, status)

    def _tell(self, email: str = "", **ways_on: str) -> HttpResponse:
        heading, text = self._fill(self.done_heading, email), self._fill(self.done, email)
        context = {"heading": heading, "text": text, "is_done": True, **ways_on}
        return _page(self.request, "accounts/told.html", context)

    def _fill(self, text: "_StrOrPromise", email: str) -> str:
        return str(text) % {"site": settings.SITE_NAME, "email": email}


class MailPage(FormPage):
    """Where somebody asks for a mail; whether anybody has the address, they do not learn."""

    ask: Callable[[str], None]
    form_class = AddressForm
    button = _("Send me a link")
    done_heading = _("Check your mail")
    done = _("If there is an account with this address, a mail is on its way.")

    def carry_out(self, data: dict[str, Any]) -> HttpResponse:
        self.ask(data["email"])
        return self._tell()


class ForgotPassword(MailPage):
    ask = staticmethod(passwords.request_reset)
    heading = _("Forgot your password?")
    lead = _("Write the address of your account at %(site)s, and we send you a link to choose a new password.")


def change_password(request: HttpRequest) -> HttpResponse:
    """Leads a password manager to the page where its user sets another password.

    W3C, A Well-Known URL for Changing Passwords.
    """
    frontend = settings.FRONTEND_URL
    return redirect(f"{frontend}/reset-password" if frontend else reverse("admin_password_reset"))


class ResendVerification(MailPage):
    ask = staticmethod(registration.request_verification)
    heading = _("Confirm your email address")
    lead = _("Write the address of your account at %(site)s, and we send you another link to confirm it.")


class LinkPage(FormPage):
    """Where a mailed link leads: a form as long as it works.

    The language is the one of whoever the link was mailed to. Only who holds the secret gets that far, so it tells
    strangers nothing. Opening the page is no try that counts: any other site can have its visitors' browsers do that,
    until their own links are refused.
    """

    purpose: Purpose
    use: Callable[..., User]
    way_out: "_StrOrPromise"
    ask_again = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        is_pressed = request.method == "POST"
        self.secret = (request.POST if is_pressed else request.GET).get("token", "")
        try:
            with throttling.token_try() if is_pressed else nullcontext():
                token = _look_up(self.secret, self.purpose)
        except AccountError as refusal:
            return self._refuse(refusal)
        self.email, self.user = token.email, token.user
        with translation.override(token.user.locale or translation.get_language()):
            return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._ask(self.form_class(initial={"full_name": self.user.full_name}))

    def carry_out(self, data: dict[str, Any]) -> HttpResponse:
        try:
            user = self.use(self.secret, **data)
        except InvalidToken as refusal:  # somebody was faster
            return self._refuse(refusal)
        return self._tell(user.email, **self._ways_on(user))

    def _ways_on(self, user: User) -> dict[str, str]:
        return {"home": settings.FRONTEND_URL, "admin": reverse("admin:index") if user.is_staff else ""}

    def _refuse(self, refusal: AccountError) -> HttpResponse:
        context = {"heading": refusal.title, "text": refusal.detail}
        if isinstance(refusal, InvalidToken):
            context |= {"hint": self.way_out, "ask_again": self.ask_again and reverse(self.ask_again)}
        return _delayed(_page(self.request, "accounts/told.html", context, refusal.status), refusal)


class ResetPassword(LinkPage):
    purpose = Purpose.PASSWORD_RESET
    use = staticmethod(passwords.reset)
    form_class = ResetForm
    heading = _("Choose a new password")
    lead = _("For your account at %(site)s. You will be signed out on all of your devices.")
    button = _("Save the password")
    done_heading = _("Your password was changed")
    done = _("Sign in to %(site)s as %(email)s with the new password.")
    way_out = _("Your password stays as it is.")
    ask_again = "admin_password_reset"


class VerifyEmail(LinkPage):
    purpose = Purpose.VERIFY_EMAIL
    use = staticmethod(registration.verify_email)
    heading = _("Confirm your email address")
    lead = _("Is this your address? Then confirm that it belongs to your account at %(site)s.")
    button = _("Confirm my address")
    done_heading = _("Your email address is confirmed")
    done = _("Thank you. You can go on at %(site)s.")
    way_out = _("If your address is confirmed already, you need not do anything.")
    ask_again = "resend-verification"

    def _ways_on(self, user: User) -> dict[str, str]:
        """An account without a password leads to where its owner gets one, before anything else."""
        if user.has_usable_password() or user.is_uninvited:
            return super()._ways_on(user)
        hint = str(_("Your account has no password yet. We send you a link to choose one."))
        return {"hint": hint, "choose": reverse(ResetPassword.ask_again)}


class ChangeEmail(LinkPage):
    purpose = Purpose.EMAIL_CHANGE
    use = staticmethod(addresses_change.confirm)
    heading = _("Confirm your new email address")
    lead = _("This becomes the address with which you sign in to %(site)s and to which we write.")
    button = _("Use this address")
    done_heading = _("Your email address was changed")
    done = _("From now on, sign in to %(site)s as %(email)s.")
    way_out = _("If your address has not changed yet, ask for the change once more in your account.")


class AcceptInvitation(LinkPage):
    purpose = Purpose.INVITATION
    use = staticmethod(invitations.accept)
    form_class = InvitationForm
    heading = _("Accept the invitation")
    lead = _("An account at %(site)s is waiting for you. Choose a password to begin.")
    button = _("Open my account")
    done_heading = _("Welcome to %(site)s")
    done = _("Your account is ready. Sign in as %(email)s with your password.")
    way_out = _("If you have not accepted yet, ask whoever invited you for another invitation.")


def _look_up(secret: str, purpose: Purpose) -> OneTimeToken:
    """The token, which is not used up. An address may be confirmed again, as the API allows.

    Raises InvalidToken.
    """
    find = tokens.find_also_used if purpose == Purpose.VERIFY_EMAIL else tokens.find
    return find(secret, purpose)


def _focus_fault(form: forms.Form) -> None:
    """Puts the reader where something has to be mended; a screen reader then says what."""
    faulty = [name for name in form.fields if name in form.errors]
    for name in faulty[:1]:
        form.fields[name].widget.attrs["autofocus"] = True


def _page(request: HttpRequest, template: str, context: Mapping[str, Any], status: int = 200) -> HttpResponse:
    page = render(request, template, {**context, "site": settings.SITE_NAME}, status=status)
    page["Content-Language"] = translation.get_language() or settings.LANGUAGE_CODE
    # The address of the page holds the secret: not even our own style sheet is asked for with it. Unlike with
    # "no-referrer", browsers still name the origin with a form, which the CSRF check wants.
    page["Referrer-Policy"] = "strict-origin"
    return page


def _delayed(page: HttpResponse, refusal: AccountError) -> HttpResponse:
    if refusal.retry_after is not None:
        page["Retry-After"] = str(refusal.retry_after_seconds)
    return page
