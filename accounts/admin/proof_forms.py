"""The forms in which a user of the panel proves who they are. They show the errors of the API."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.errors import AccountError
from accounts.forms import set_retry_after
from accounts.mfa import submitted_proofs
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import User

MAX_LENGTH = 1024


class ProofForm(forms.Form):
    """A form with one proof. `error` is why it was rejected."""

    error: AccountError | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": ""} | options)

    def reject(self, error: AccountError) -> None:
        """Shows the error above the form, as the login page does."""
        self.error = error
        self.add_error(None, as_validation_error(error))


class CodeForm(ProofForm):
    """A code of the authenticator app, or a recovery code: the field takes both.

    With `has_letters`, phones show a keyboard with letters.
    """

    code = forms.CharField(label=_("Code"), max_length=MAX_LENGTH)

    def __init__(self, *args: Any, has_letters: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_letters = has_letters
        numeric = {"inputmode": "numeric", "autocomplete": "one-time-code"}
        letters = {"autocomplete": "off", "autocapitalize": "characters"}
        attributes = {"autofocus": True, "spellcheck": "false", **(letters if has_letters else numeric)}
        self.fields["code"].widget.attrs.update(attributes)
        if has_letters:
            self.fields["code"].label = _("Recovery code")

    @property
    def submitted(self) -> SubmittedProof:
        return submitted_proofs.from_text(self.cleaned_data["code"])


class FactorForm(CodeForm):
    """A code, or the answer of a passkey, which passkeys.js sends in another form of the same page."""

    def __init__(self, *args: Any, methods: Collection[str], has_letters: bool, **options: Any) -> None:
        super().__init__(*args, has_letters=has_letters or "totp" not in methods, **options)
        self.takes_passkeys, self.has_app = "passkey" in methods, "totp" in methods
        self.has_passkey = "passkey" in self.data
        self.fields["code"].required = not self.has_passkey

    @property
    def submitted(self) -> SubmittedProof:
        return (
            SubmittedProof(passkey=submitted_proofs.read_passkey(self.data["passkey"]))
            if self.has_passkey
            else super().submitted
        )


class PasswordProofForm(ProofForm):
    """The password of a user without a second factor."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=MAX_LENGTH,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )


def factor_form(request: HttpRequest, user: User) -> FactorForm:
    """Returns the form for a second factor of the user, filled in by a POST request."""
    data = request.POST if request.method == "POST" else None
    return FactorForm(data, methods=submitted_proofs.available_methods(user), has_letters="letters" in request.GET)


def passkey_context(form: ProofForm, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the page needs for its passkey button. It has none if the user has no passkey."""
    is_offered = isinstance(form, FactorForm) and form.takes_passkeys
    return {"passkey_options": json.dumps(options)} if is_offered else {}


def as_validation_error(error: AccountError) -> ValidationError:
    """Returns the error's text, and how long the user must wait, if the error says so."""
    seconds, texts = error.retry_after_seconds, [str(error.detail)]
    if seconds is not None:
        minutes = max(1, -(-seconds // 60))
        texts.append(ngettext("Try again in %d minute.", "Try again in %d minutes.", minutes) % minutes)
    return ValidationError(texts, error.code)


def response(request: HttpRequest, template: str, context: dict[str, Any], error: AccountError | None) -> HttpResponse:
    """Returns the page. If the user must wait, it has the error's status and says how long."""
    return show_wait(TemplateResponse(request, template, context), error)


def show_wait(page: TemplateResponse, error: AccountError | None) -> TemplateResponse:
    """Gives the page the error's status and the header `Retry-After`, if the user must wait. Returns the page."""
    if error and error.retry_after_seconds is not None:
        page.status_code = error.status
        set_retry_after(page, error)
    return page
