"""Resets and changes passwords."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import passwords
from accounts.api.base import ApiView, AuthenticatedRequest, HashingView, PublicView, email_sent_if_known, read_input
from accounts.api.input_fields import NewPasswordField, PasswordField, TokenField
from accounts.api.schema import AUTHENTICATION_ERRORS, operation
from accounts.api.serializers import AddressInput, DetailSerializer
from accounts.models import Session


class ResetView(PublicView):
    @operation(
        "Ask for a reset link",
        description="The response is the same for known and unknown addresses.",
        request=AddressInput,
        success=(202, DetailSerializer),
        errors=["throttled"],
        request_example={"email": "ana@example.com"},
    )
    def post(self, request: Request) -> Response:
        passwords.request_reset(**read_input(AddressInput, request))
        return email_sent_if_known()


class ConfirmResetInput(serializers.Serializer[Any]):
    token = TokenField()
    new_password = NewPasswordField()


class ConfirmResetView(HashingView):
    @operation(
        "Set a password with a reset link",
        description="Ends all sessions of the user. The token stays valid if the password is rejected.",
        request=ConfirmResetInput,
        errors=["invalid_token", "throttled", "overloaded"],
        request_example={"token": "the token of the emailed link", "new_password": "staple battery horse correct"},
    )
    def post(self, request: Request) -> Response:
        data = read_input(ConfirmResetInput, request)
        passwords.reset(data["token"], data["new_password"])
        return Response(status=204)


class ChangePasswordInput(serializers.Serializer[Any]):
    current_password = PasswordField(max_length=1024)
    new_password = NewPasswordField()


class ChangePasswordView(ApiView):
    def needs_fresh_login(self, session: Session) -> bool:
        return session.user.mfa_enabled

    @operation(
        "Change the password",
        description="Ends all other sessions of the user. A user with a second factor needs a fresh login as well.",
        request=ChangePasswordInput,
        errors=[*AUTHENTICATION_ERRORS, "fresh_login_required", "throttled", "overloaded"],
        request_example={
            "current_password": "correct horse battery staple",
            "new_password": "staple battery horse correct",
        },
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        passwords.change(request.user, **read_input(ChangePasswordInput, request), keep=request.auth)
        return Response(status=204)
