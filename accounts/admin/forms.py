"""Forms whose saving is a use case, and the inputs that several of them share."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts import metadata
from accounts.addresses import ADDRESS_LENGTH, validate_email
from accounts.errors import AccountError, InvalidInput
from accounts.forms import take_refusal
from accounts.models import Role, User


class UseCaseForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A form that is valid once its use case was carried out; what that refuses stands at the field it is about.

    The instance is never written to by the form itself.
    """

    actor: User

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": ""} | options)

    def carry_out(self) -> Any:
        """Does what the form is for with cleaned_data, and returns the object. Raises AccountError."""
        raise NotImplementedError

    def changes(self) -> dict[str, Any]:
        """What was changed by the one who sent the form, and not by somebody else since they opened it."""
        return {name: self.cleaned_data[name] for name in self.changed_data if name in self.cleaned_data}

    def _post_clean(self) -> None:
        if self.errors:
            return
        try:
            self.instance = self.carry_out()
        except AccountError as refusal:
            take_refusal(self, refusal)


class AddressField(forms.CharField):
    def __init__(self, **options: Any) -> None:
        widget = forms.EmailInput(attrs={"autocomplete": "off", "size": 40})
        super().__init__(max_length=ADDRESS_LENGTH, validators=[validate_email], widget=widget, **options)


class MetadataField(forms.JSONField):
    """A JSON object; an empty field is an empty one."""

    def __init__(self, **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 6, "cols": 60, "spellcheck": "false"})
        super().__init__(required=False, widget=widget, **options)

    def prepare_value(self, value: Any) -> Any:
        return super().prepare_value(metadata.ordered(value) if isinstance(value, dict) else value)

    def clean(self, value: Any) -> Any:
        found = super().clean(value)
        found = {} if found is None else found
        try:
            metadata.check(found)
        except InvalidInput as refusal:
            raise ValidationError(str(refusal.detail), code=refusal.faults[0][1]) from refusal
        return found


class RoleField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """The roles that the actor may hand out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(queryset=Role.objects.order_by("name"), **options)

    def offer_to(self, actor: User) -> None:
        offered = [role.pk for role in Role.objects.all() if actor.holds_role(role)]
        self.queryset = Role.objects.filter(pk__in=offered).order_by("name")
