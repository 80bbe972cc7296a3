"""The forms of the pages."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from accounts.email_addresses import ADDRESS_LENGTH, validate_email
from accounts.forms import FactorNameField, FullNameField
from accounts.hashing import password_policy

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

CODE_LENGTH = 20  # six digits, and spaces between them


class NewPasswordField(forms.CharField):
    """A new password, with its spaces. Password managers may generate it; the use case applies the policy."""

    def __init__(self, label: "StrOrPromise") -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
        super().__init__(label=label, strip=False, widget=widget, help_text=lazy(password_policy.advice, str)())


class ResetForm(forms.Form):
    new_password = NewPasswordField(_("New password"))


class InvitationForm(forms.Form):
    full_name = FullNameField(label=_("Your name"), attrs={"autocomplete": "name"})
    password = NewPasswordField(_("Password"))


class CurrentPasswordForm(forms.Form):
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class CodeInput(forms.PasswordInput):
    """A visible field that is empty again after an error: the app shows another code soon."""

    input_type = "text"


class EnrolmentForm(forms.Form):
    """What the page remembers of the step before: the pending login, and the enrolment of the authenticator app."""

    mfa_token = forms.CharField(widget=forms.HiddenInput)
    factor = forms.UUIDField(widget=forms.HiddenInput)


class ConfirmTotpForm(EnrolmentForm):
    """A code of the authenticator app that a user adds."""

    code = forms.CharField(
        label=_("Code that the app shows"),
        max_length=CODE_LENGTH,
        widget=CodeInput(attrs={"inputmode": "numeric", "autocomplete": "one-time-code", "spellcheck": "false"}),
    )

    @property
    def proof(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("factor", "code")}


class PasskeyForm(EnrolmentForm):
    """The answer of a passkey that a user adds, as JSON, which passkeys.js sends, and its name."""

    passkey = forms.CharField(widget=forms.HiddenInput)
    name = FactorNameField(required=False)


class AddressForm(forms.Form):
    email = forms.CharField(
        label=_("Your email address"),
        max_length=ADDRESS_LENGTH,
        validators=[validate_email],
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
