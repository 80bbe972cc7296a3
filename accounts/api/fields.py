"""The kinds of input that several requests share."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts import metadata, names, roles
from accounts.addresses import ADDRESS_LENGTH, canonical_email
from accounts.errors import InvalidInput
from accounts.models import Role
from accounts.password_policy import MAX_LENGTH

LOCALES = [("en", "English"), ("es", "Español")]
TOKEN_LENGTH = 1024


class TextField(serializers.CharField):
    """Text as it was sent: REST framework would make some of a number, too, and a password of 007 would be 7."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class FlagField(serializers.BooleanField):
    """true or false: REST framework would take 0, "off" and much else for one of them, too."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class AddressField(TextField):
    """A mail address as its owner writes it."""

    default_error_messages = {"invalid": _("Enter a valid email address.")}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=ADDRESS_LENGTH, **options)

    def to_internal_value(self, data: Any) -> str:
        address: str = super().to_internal_value(data)
        try:
            canonical_email(address)
        except ValueError:
            self.fail("invalid")
        return address


class PasswordField(TextField):
    """A password, to the letter: spaces at its ends belong to it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, write_only=True, style={"input_type": "password"}, **options)


class NewPasswordField(PasswordField):
    """A password that is going to be one; how good it is, the policy says."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_LENGTH, **options)


class TokenField(TextField):
    """A token as it was handed out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=TOKEN_LENGTH, write_only=True, **options)


class FullNameField(TextField):
    def __init__(self, **options: Any) -> None:
        options |= {"max_length": names.MAX_LENGTH, "validators": [names.validate]}
        super().__init__(allow_blank=True, required=False, **options)


class LocaleField(serializers.ChoiceField):
    """One of the languages, or null for somebody who chose none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=LOCALES, allow_null=True, required=False, **options)

    def to_internal_value(self, data: Any) -> str:
        return str(super().to_internal_value(data))

    def to_representation(self, value: Any) -> str | None:  # type: ignore[override]
        return value or None

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        return "" if value is None else value


class MetadataField(serializers.DictField):
    """A JSON object of at most 16 KiB, for the application's own use."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        given: dict[str, Any] = super().to_internal_value(data)
        try:
            metadata.check(given)
        except InvalidInput as refusal:
            raise serializers.ValidationError(str(refusal.detail), code=refusal.faults[0][1]) from refusal
        return given


class RoleField(serializers.SlugRelatedField[Role]):
    """A role by its name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(slug_field="name", queryset=Role.objects.all(), **options)

    def to_internal_value(self, data: Any) -> Role:
        """REST framework would look for whatever was sent: the role 5 for a number, and PostgreSQL fails on a NUL."""
        if not isinstance(data, str) or "\0" in data:
            self.fail("does_not_exist", slug_name=self.slug_field, value=data)
        return super().to_internal_value(data)


class PermissionField(TextField):
    """A permission of ours or of the operator's own applications."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=roles.PERMISSION_LENGTH, **options)

    def to_internal_value(self, data: Any) -> str:
        name: str = super().to_internal_value(data)
        if not roles.is_permission(name):
            raise serializers.ValidationError(_("There is no such permission."), code="invalid")
        return name
