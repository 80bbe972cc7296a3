"""Forgetting a password and changing it."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import passwords
from accounts.api.base import ApiView, HashingView, OpenView, SignedIn, read
from accounts.api.fields import NewPasswordField, PasswordField, TokenField
from accounts.api.outputs import DetailSerializer
from accounts.api.registration import AddressInput, a_mail_may_be_on_its_way
from accounts.api.schema import SIGNED_IN, operation


class ResetView(OpenView):
    @operation(
        "Ask for a reset link",
        description="Known and unknown addresses are answered alike.",
        request=AddressInput,
        success=(202, DetailSerializer),
        refusals=["throttled"],
        example={"email": "ana@example.com"},
    )
    def post(self, request: Request) -> Response:
        passwords.request_reset(**read(AddressInput, request))
        return a_mail_may_be_on_its_way()


class ConfirmResetInput(serializers.Serializer[Any]):
    token = TokenField()
    new_password = NewPasswordField()


class ConfirmResetView(HashingView):
    @operation(
        "Set a password with a reset link",
        description="Every session of the user ends. A refused password does not use the token up.",
        request=ConfirmResetInput,
        refusals=["invalid_token", "throttled", "overloaded"],
        example={"token": "the token of the mailed link", "new_password": "staple battery horse correct"},
    )
    def post(self, request: Request) -> Response:
        data = read(ConfirmResetInput, request)
        passwords.reset(data["token"], data["new_password"])
        return Response(status=204)


class ChangePasswordInput(serializers.Serializer[Any]):
    current_password = PasswordField(max_length=1024)
    new_password = NewPasswordField()


class ChangePasswordView(ApiView):
    @operation(
        "Change the password",
        description="Every other session of the user ends.",
        request=ChangePasswordInput,
        refusals=[*SIGNED_IN, "throttled", "overloaded"],
        example={
            "current_password": "correct horse battery staple",
            "new_password": "staple battery horse correct",
        },
    )
    def post(self, request: SignedIn) -> Response:
        passwords.change(request.user, **read(ChangePasswordInput, request), keep=request.auth)
        return Response(status=204)
