"""Suspends and reactivates users, and shows suspensions."""

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from accounts import suspension, users, validators
from accounts.api.base import AuthenticatedRequest, read_input
from accounts.api.input_fields import StrictCharField
from accounts.api.schema import AUTHENTICATION_ERRORS, USER_EXAMPLE, operation
from accounts.api.serializers import UserSerializer
from accounts.api.user_scoped import UserScopedViewSet
from accounts.models import User

ERRORS = (*AUTHENTICATION_ERRORS, "permission_denied", "not_found")
EXAMPLE = {"reason": "Chargeback", "until": "2030-01-31T12:00:00Z"}


class SuspendInput(serializers.Serializer[Any]):
    reason = StrictCharField(
        max_length=validators.REASON_MAX_LENGTH,
        required=False,
        allow_blank=True,
        validators=[validators.validate_reason],
    )
    until = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text="When the suspension ends. Null or omitted: it ends when the user is activated.",
    )


class SuspensionSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True, help_text="Null if the audit trail has no event of it.")
    until = serializers.DateTimeField(
        allow_null=True, help_text="When the suspension ends. Null: it ends when the user is activated."
    )
    actor = serializers.UUIDField(allow_null=True)


class SuspensionViewSet(UserScopedViewSet):
    queryset = User.objects.all()

    @operation(
        "Suspend a user",
        permission="users.change",
        description="Ends all sessions of the user and invalidates emailed links. With `until`, the suspension ends at "
        "that time. Suspending a suspended user replaces `reason` and `until`.",
        request=SuspendInput,
        success=(200, UserSerializer),
        errors=[*ERRORS, "last_admin", "throttled"],
        request_example=EXAMPLE,
        response_example=USER_EXAMPLE | {"is_active": False},
    )
    def suspend(self, request: AuthenticatedRequest, pk: str) -> Response:
        user = self.get_user(pk, "users.change")
        user = users.suspend(user, actor=request.user, **read_input(SuspendInput, request))
        return Response(UserSerializer.show(user))

    @operation(
        "See why a user is suspended",
        permission="users.view",
        description="`not_found` if the user is not suspended.",
        success=(200, SuspensionSerializer),
        errors=ERRORS,
        response_example=EXAMPLE | {"since": "2026-01-02T03:04:05.678901Z", "actor": USER_EXAMPLE["id"]},
    )
    def retrieve(self, request: AuthenticatedRequest, pk: str) -> Response:
        found = suspension.current(self.get_user(pk, "users.view"))
        if found is None:
            raise NotFound
        return Response(SuspensionSerializer(found).data)

    @operation(
        "Activate a user",
        permission="users.change",
        success=(200, UserSerializer),
        errors=[*ERRORS, "throttled"],
        response_example=USER_EXAMPLE,
    )
    def activate(self, request: AuthenticatedRequest, pk: str) -> Response:
        user = users.activate(self.get_user(pk, "users.change"), actor=request.user)
        return Response(UserSerializer.show(user))
