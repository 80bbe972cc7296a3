"""The input fields that several requests share."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts import metadata, permissions, validators
from accounts.email_addresses import ADDRESS_LENGTH, canonical_email
from accounts.errors import InvalidInput
from accounts.hashing.password_policy import MAX_LENGTH
from accounts.models import Role

TOKEN_LENGTH = 1024


class StrictCharField(serializers.CharField):
    """Accepts only strings. REST framework's field converts numbers, so that the password 007 would become "7"."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class StrictBooleanField(serializers.BooleanField):
    """Accepts only true and false. REST framework's field also accepts 0, "off" and other values."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictUUIDField(serializers.UUIDField):
    """Accepts only strings. REST framework's field also accepts integers."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return UUID(str(super().to_internal_value(data)))


class AddressField(StrictCharField):
    """An email address in the spelling of its owner."""

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


class PasswordField(StrictCharField):
    """A password. Leading and trailing spaces are part of it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, write_only=True, style={"input_type": "password"}, **options)


class NewPasswordField(PasswordField):
    """A password to be set. The use case checks it against the password policy."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_LENGTH, **options)


class TokenField(StrictCharField):
    """A refresh token, or a one-time token of an emailed link."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=TOKEN_LENGTH, write_only=True, **options)


class FullNameField(StrictCharField):
    def __init__(self, **options: Any) -> None:
        options |= {"max_length": validators.NAME_MAX_LENGTH, "validators": [validators.validate_name]}
        super().__init__(allow_blank=True, required=False, **options)


class LocaleField(serializers.ChoiceField):
    """A language code. Null means that the user has not chosen a language."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=settings.LANGUAGES, allow_null=True, required=False, **options)

    def to_internal_value(self, data: Any) -> str:
        return str(super().to_internal_value(data))

    def to_representation(self, value: Any) -> str | None:  # type: ignore[override]
        return value or None

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        return "" if value is None else value


class MetadataField(serializers.DictField):
    """A JSON object of at most 16 KiB, for the operator's own applications."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        given: dict[str, Any] = super().to_internal_value(data)
        try:
            metadata.validate(given)
        except InvalidInput as error:
            raise serializers.ValidationError(str(error.detail), code=error.errors[0][1]) from error
        return given


class RoleField(serializers.SlugRelatedField[Role]):
    """A role, identified by its name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(slug_field="name", queryset=Role.objects.all(), **options)

    def to_internal_value(self, data: Any) -> Role:
        """Rejects values that are not a name. REST framework would look up any value, and PostgreSQL fails on a NUL."""
        if not isinstance(data, str) or "\0" in data:
            self.fail("does_not_exist", slug_name=self.slug_field, value=data)
        return super().to_internal_value(data)


class PermissionField(StrictCharField):
    """A permission of UserManager or of the operator's own applications."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=permissions.PERMISSION_LENGTH, **options)

    def to_internal_value(self, data: Any) -> str:
        name: str = super().to_internal_value(data)
        if not permissions.is_permission(name):
            raise serializers.ValidationError(_("There is no such permission."), code="invalid")
        return name
