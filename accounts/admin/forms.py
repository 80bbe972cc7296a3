"""The base class of forms that perform a use case, and the fields that several forms share."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts import metadata
from accounts.email_addresses import ADDRESS_LENGTH, validate_email
from accounts.errors import AccountError, InvalidInput
from accounts.forms import add_account_error
from accounts.models import Role, User


class UseCaseForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A form of the panel that performs one use case. It never writes to its instance itself."""

    actor: User
    has_performed = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": ""} | options)

    def perform(self) -> Any:
        """Performs the use case with cleaned_data, and returns the object. Raises AccountError."""
        raise NotImplementedError

    def is_valid(self) -> bool:
        """Calls validate_and_perform(): Django's admin calls only this, and shows only the errors known by then."""
        return self.validate_and_perform()

    def validate_and_perform(self) -> bool:
        """Performs the use case if the input is valid, and adds its error to the field that the error names.

        Raises RuntimeError if it has been called before: the use case would run a second time.
        """
        if self.has_performed:
            raise RuntimeError("the form has already performed its use case")
        if not super().is_valid():
            return False
        self.has_performed = True
        try:
            self.instance = self.perform()
        except AccountError as error:
            add_account_error(self, error)
        return not self.errors

    def changes(self) -> dict[str, Any]:
        """Returns the fields that the administrator changed. Other fields may have changed in the database since."""
        return {name: self.cleaned_data[name] for name in self.changed_data if name in self.cleaned_data}

    def _post_clean(self) -> None:
        """Skips Django's step, which writes the fields to the instance."""


class AddressField(forms.CharField):
    def __init__(self, **options: Any) -> None:
        widget = forms.EmailInput(attrs={"autocomplete": "off", "size": 40})
        super().__init__(max_length=ADDRESS_LENGTH, validators=[validate_email], widget=widget, **options)


class SortedEncoder(json.JSONEncoder):
    """Writes objects with sorted keys, as metadata.ordered() does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"sort_keys": True})


class MetadataField(forms.JSONField):
    """A JSON object; an empty field means an empty object."""

    def __init__(self, **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 6, "cols": 60, "spellcheck": "false"})
        super().__init__(required=False, initial=dict, widget=widget, encoder=SortedEncoder, **options)

    def clean(self, value: Any) -> Any:
        found = super().clean(value)
        found = {} if found is None else found
        try:
            metadata.validate(found)
        except InvalidInput as error:
            raise ValidationError(str(error.detail), code=error.errors[0][1]) from error
        return found


class RoleField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A choice of the roles that the actor may assign."""

    def __init__(self, **options: Any) -> None:
        super().__init__(queryset=Role.objects.order_by("name"), **options)

    def offer_to(self, actor: User) -> None:
        offered = [role.pk for role in Role.objects.all() if actor.holds_permissions_of(role)]
        self.queryset = Role.objects.filter(pk__in=offered).order_by("name")
