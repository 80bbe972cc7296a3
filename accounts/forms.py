"""Shared by the forms of the admin panel and those of the pages behind emailed links."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.functional import lazy
from django.utils.translation import gettext as _

from accounts import validators
from accounts.errors import AccountError, InvalidInput


class FullNameField(forms.CharField):
    """An optional full name. `attrs` are the attributes of the `<input>`."""

    def __init__(self, *, attrs: dict[str, Any], **options: Any) -> None:
        options |= {"max_length": validators.NAME_MAX_LENGTH, "validators": [validators.validate_name]}
        super().__init__(required=False, widget=forms.TextInput(attrs=attrs), **options)


class FactorNameField(forms.CharField):
    """The name of a second factor."""

    def __init__(self, **options: Any) -> None:
        advice = lazy(_advise_on_factor_name, str)()
        options |= {"max_length": validators.FACTOR_NAME_MAX_LENGTH, "validators": [validators.validate_name]}
        super().__init__(error_messages={"required": advice, "max_length": advice}, **options)


def _advise_on_factor_name() -> str:
    return _("Give the second factor a name of up to %d characters.") % validators.FACTOR_NAME_MAX_LENGTH


def add_account_error(form: forms.BaseForm, error: AccountError, fields: Mapping[str, str] | None = None) -> None:
    """Shows the error at the form's field, or above the form if it has no such field.

    `fields` maps the use case's field names to the form's, where the two differ.
    """
    errors = error.errors if isinstance(error, InvalidInput) else [(None, error.code, error.detail)]
    for name, code, detail in errors:
        field = (fields or {}).get(name or "", name)
        form.add_error(field if field in form.fields else None, ValidationError(str(detail), code=code))


def set_retry_after(page: HttpResponse, error: AccountError) -> HttpResponse:
    """Sets the header `Retry-After`, in seconds, if the client must wait. Returns the page."""
    if error.retry_after_seconds is not None:
        page["Retry-After"] = str(error.retry_after_seconds)
    return page
