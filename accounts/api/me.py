"""Shows, changes and deletes the caller's own account."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts import users
from accounts.api.base import ApiView, AuthenticatedRequest, read_input
from accounts.api.input_fields import FullNameField, LocaleField, PasswordField
from accounts.api.schema import AUTHENTICATION_ERRORS, USER_EXAMPLE, operation
from accounts.api.serializers import UserSerializer
from accounts.models import Session


class OwnChanges(serializers.Serializer[Any]):
    full_name = FullNameField()
    locale = LocaleField()


class LeaveInput(serializers.Serializer[Any]):
    current_password = PasswordField(max_length=1024)


class MeView(ApiView):
    def needs_fresh_login(self, session: Session) -> bool:
        return self.request.method == "DELETE" and session.user.mfa_enabled

    @operation(
        "See one's own account",
        success=(200, UserSerializer),
        errors=AUTHENTICATION_ERRORS,
        response_example=USER_EXAMPLE,
    )
    def get(self, request: AuthenticatedRequest) -> Response:
        return Response(UserSerializer.show(request.user))

    @operation(
        "Change one's own account",
        request=OwnChanges,
        success=(200, UserSerializer),
        errors=[*AUTHENTICATION_ERRORS, "throttled"],
        request_example={"full_name": "Ana García", "locale": "es"},
        response_example=USER_EXAMPLE,
    )
    def patch(self, request: AuthenticatedRequest) -> Response:
        user = users.update(request.user, actor=request.user, **read_input(OwnChanges, request))
        return Response(UserSerializer.show(user))

    @operation(
        "Delete one's own account",
        operation_id="leave",
        description="Deletes the user with all data. Audit events keep only the user's id. A user with a second factor "
        "needs a fresh login as well.",
        request=LeaveInput,
        errors=[*AUTHENTICATION_ERRORS, "fresh_login_required", "last_admin", "throttled", "overloaded"],
        request_example={"current_password": "correct horse battery staple"},
    )
    def delete(self, request: AuthenticatedRequest) -> Response:
        users.delete_own(request.user, read_input(LeaveInput, request)["current_password"])
        return Response(status=204)
