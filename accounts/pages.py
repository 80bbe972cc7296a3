"""The pages behind mailed links, in plain HTML: opening one changes nothing, its button does what the API does."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _
from django.views import View

from accounts import addresses_change, invitations, password_policy, passwords, registration, throttling, tokens
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


class LinkPage(View):
    """A form as long as the link works; then what came of it.

    The language is the one of whoever the link was mailed to. Only who holds the secret gets that far, so it tells
    strangers nothing. Texts may name the `site` and the `email`.
    """

    http_method_names = ("get", "head", "post", "options")
    purpose: Purpose
    use: Callable[..., User]
    form_class: type[forms.Form] = forms.Form
    heading: "_StrOrPromise"
    lead: "_StrOrPromise"
    button: "_StrOrPromise"
    done_heading: "_StrOrPromise"
    done: "_StrOrPromise"
    way_out: "_StrOrPromise"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        given = request.POST if request.method == "POST" else request.GET
        self.secret = given.get("token", "")
        try:
            self.token = _look_up(self.secret, self.purpose)
        except AccountError as refusal:
            return self._refuse(refusal)
        with translation.override(self.token.user.locale or translation.get_language()):
            return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._ask(self.form_class(initial={"full_name": self.token.user.full_name}))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self.form_class(request.POST)
        if not form.is_valid():
            return self._ask(form, 400)
        try:
            return self._tell(self.use(self.secret, **form.cleaned_data))
        except InvalidToken as refusal:
            return self._refuse(refusal)
        except AccountError as refusal:
            take_refusal(form, refusal)
            return _delayed(self._ask(form, refusal.status), refusal)

    def _ask(self, form: forms.Form, status: int = 200) -> HttpResponse:
        _focus_fault(form)
        context = {
            "heading": self.heading,
            "text": self._fill(self.lead, self.token.email),
            "email": self.token.email,
            "secret": self.secret,
            "form": form,
            "button": self.button,
        }
        return _page(self.request, "accounts/link.html", context, status)

    def _tell(self, user: User) -> HttpResponse:
        context = {
            "heading": self._fill(self.done_heading, user.email),
            "text": self._fill(self.done, user.email),
            "home": settings.FRONTEND_URL,
            "admin": reverse("admin:index") if user.is_staff else "",
        }
        return _page(self.request, "accounts/told.html", context)

    def _refuse(self, refusal: AccountError) -> HttpResponse:
        hint = self.way_out if isinstance(refusal, InvalidToken) else ""
        context = {"heading": refusal.title, "text": refusal.detail, "hint": hint}
        return _delayed(_page(self.request, "accounts/told.html", context, refusal.status), refusal)

    def _fill(self, text: "_StrOrPromise", email: str) -> str:
        return str(text) % {"site": settings.SITE_NAME, "email": email}


class ResetPassword(LinkPage):
    purpose = Purpose.PASSWORD_RESET
    use = staticmethod(passwords.reset)
    form_class = ResetForm
    heading = _("Choose a new password")
    lead = _("For your account at %(site)s. You will be signed out on all of your devices.")
    button = _("Save the password")
    done_heading = _("Your password was changed")
    done = _("Sign in to %(site)s as %(email)s with the new password.")
    way_out = _("Ask for another link where you sign in, with “forgot your password”. Your password stays as it is.")


class VerifyEmail(LinkPage):
    purpose = Purpose.VERIFY_EMAIL
    use = staticmethod(registration.verify_email)
    heading = _("Confirm your address")
    lead = _("Is this your address? Then confirm that it belongs to your account at %(site)s.")
    button = _("Confirm my address")
    done_heading = _("Your address is confirmed")
    done = _("Thank you. You can go on at %(site)s.")
    way_out = _("If your address is not confirmed yet, ask for another link where you sign in.")


class ChangeEmail(LinkPage):
    purpose = Purpose.EMAIL_CHANGE
    use = staticmethod(addresses_change.confirm)
    heading = _("Confirm your new address")
    lead = _("This becomes the address with which you sign in to %(site)s and to which we write.")
    button = _("Use this address")
    done_heading = _("Your address was changed")
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

    Raises InvalidToken, Throttled.
    """
    find = tokens.find_also_used if purpose == Purpose.VERIFY_EMAIL else tokens.find
    with throttling.token_try():
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
