"""What the API answers with: a user, a session, an audit event, a role."""

from typing import Any

from rest_framework import serializers

from accounts import audit
from accounts.api.fields import LocaleField
from accounts.models import AuditEvent, Role, Session, User


class UserSerializer(serializers.ModelSerializer[User]):
    role = serializers.CharField(source="role.name", read_only=True)
    locale = LocaleField(read_only=True)
    metadata = serializers.DictField(read_only=True)

    class Meta:
        model = User
        fields: tuple[str, ...] = (
            *("id", "email", "full_name", "role", "is_active", "email_verified", "locale", "metadata"),
            *("created_at", "updated_at", "last_login_at"),
        )
        read_only_fields = fields


class SessionSerializer(serializers.ModelSerializer[Session]):
    expires_at = serializers.DateTimeField(source="ends_at", read_only=True)
    current = serializers.SerializerMethodField()

    class Meta:
        model = Session
        fields: tuple[str, ...] = ("id", "created_at", "last_used_at", "expires_at", "ip", "user_agent", "current")
        read_only_fields = fields

    def get_current(self, session: Session) -> bool:
        request = self.context.get("request")
        return request is not None and isinstance(request.auth, Session) and request.auth.pk == session.pk


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    user = serializers.UUIDField(source="user_id", read_only=True, allow_null=True)
    actor = serializers.UUIDField(source="actor_id", read_only=True, allow_null=True)
    data = serializers.DictField(read_only=True)  # type: ignore[assignment]

    class Meta:
        model = AuditEvent
        fields = ("id", "kind", "user", "actor", "created_at", "ip", "user_agent", "request_id", "data")
        read_only_fields = fields

    def to_representation(self, event: AuditEvent) -> dict[str, Any]:
        shown = super().to_representation(event) | {"data": audit.ordered(event.data)}
        if not audit.may_see_origin(self.context["request"].user, event):
            shown |= {"ip": None, "user_agent": ""}
        return shown


class RoleSerializer(serializers.ModelSerializer[Role]):
    permissions = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="`*`, which `admin` alone holds, means every permission, those of your own applications too. "
        "UserManager's own permissions and `*` count only for users whose `email_verified` is true.",
    )

    class Meta:
        model = Role
        fields = ("name", "description", "permissions", "is_builtin")
        read_only_fields = fields


class TokensSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(
        help_text="A JWT. Its claim `permissions` is a list; `*` in it means every permission, as administrators have."
    )
    refresh = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds until the access token expires.")


class SignInSerializer(TokensSerializer):
    user = UserSerializer()


class DetailSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="One line for a person.")
