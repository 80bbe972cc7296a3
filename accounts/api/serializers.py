"""Serializers of the resources in responses, and of inputs that several files share."""

from typing import Any

from rest_framework import serializers

from accounts import audit
from accounts.api.input_fields import AddressField, LocaleField, TokenField
from accounts.api.output import OutputSerializer
from accounts.models import AuditEvent, Role, Session, User


class UserSerializer(OutputSerializer[User]):
    role = serializers.CharField(source="role.name", read_only=True)
    locale = LocaleField(read_only=True)
    metadata = serializers.DictField(read_only=True)

    class Meta:
        model = User
        fields: tuple[str, ...] = User.API_FIELDS
        read_only_fields = fields


class SessionSerializer(OutputSerializer[Session]):
    expires_at = serializers.DateTimeField(source="ends_at", read_only=True)
    acr = serializers.CharField(read_only=True, help_text="`aal2` if the user proved a second factor, else `aal1`.")
    amr = serializers.ListField(
        source="methods",
        child=serializers.CharField(),
        read_only=True,
        help_text="What the user has proven (RFC 8176).",
    )
    authenticated_at = serializers.DateTimeField(read_only=True)
    current = serializers.BooleanField(source="id", read_only=True)  # to_representation() sets the value

    class Meta:
        model = Session
        fields: tuple[str, ...] = ("id", "created_at", "last_used_at", "expires_at", "ip", "user_agent", "current")
        fields += ("acr", "amr", "authenticated_at")
        read_only_fields = fields

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Returns no columns: `ends_at` is a property of the model."""
        return ()

    def to_representation(self, session: Session) -> dict[str, Any]:
        used = self.context["request"].auth
        return super().to_representation(session) | {"current": isinstance(used, Session) and used.pk == session.pk}


class AuditEventSerializer(OutputSerializer[AuditEvent]):
    user = serializers.UUIDField(source="user_id", read_only=True, allow_null=True)
    actor = serializers.UUIDField(source="actor_id", read_only=True, allow_null=True)
    data = serializers.DictField(read_only=True)  # type: ignore[assignment]

    class Meta:
        model = AuditEvent
        fields = ("id", "kind", "user", "actor", "created_at", "ip", "user_agent", "request_id", "data")
        read_only_fields = fields

    def to_representation(self, event: AuditEvent) -> dict[str, Any]:
        shown = super().to_representation(event) | {"data": audit.ordered(event.data)}
        if not audit.may_see_request_context(self.context["request"].user, event):
            shown |= {"ip": None, "user_agent": ""}
        return shown


class RoleSerializer(OutputSerializer[Role]):
    permissions = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="`*`, which only `admin` has, means every permission, including those of your own applications. "
        "UserManager's own permissions and `*` count only for users whose `email_verified` is true.",
    )

    class Meta:
        model = Role
        fields = ("name", "description", "permissions", "mfa", "is_builtin")
        read_only_fields = fields


class FactorSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=["totp", "passkey"])
    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    is_synced = serializers.BooleanField(help_text="Whether the passkey is synced between devices; false for `totp`.")


class TokensSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(
        help_text="A JWT. Its claim `permissions` is a list. `*` in it means every permission, as administrators have."
    )
    refresh = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds until the access token expires.")


class SignInSerializer(TokensSerializer):
    user = UserSerializer()
    second_factor_due = serializers.DateTimeField(
        required=False,
        help_text="When the user must have set up a second factor. Absent if they have one or need none.",
    )


class DetailSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="A sentence to show to the user.")


class TokenInput(serializers.Serializer[Any]):
    token = TokenField()


class AddressInput(serializers.Serializer[Any]):
    email = AddressField()
