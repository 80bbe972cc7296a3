"""What the forms of the admin panel and those of the pages behind mailed links have in common."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts import names
from accounts.errors import AccountError, InvalidInput


class FullNameField(forms.CharField):
    """The name of a person, who need not tell it; `attrs` are those of the input."""

    def __init__(self, *, attrs: dict[str, Any], **options: Any) -> None:
        options |= {"max_length": names.MAX_LENGTH, "validators": [names.validate]}
        super().__init__(required=False, widget=forms.TextInput(attrs=attrs), **options)


def take_refusal(form: forms.BaseForm, refusal: AccountError, fields: Mapping[str, str] | None = None) -> None:
    """Shows a refusal at the field it is about, or above the form; `fields` are those with another name in it."""
    faults = refusal.faults if isinstance(refusal, InvalidInput) else [(None, refusal.code, refusal.detail)]
    for named, code, detail in faults:
        field = (fields or {}).get(named or "", named)
        form.add_error(field if field in form.fields else None, ValidationError(str(detail), code=code))
