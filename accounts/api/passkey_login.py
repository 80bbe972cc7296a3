"""Logs in with a passkey alone. The browser needs options first, with a challenge that the passkey signs."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import passkey_login
from accounts.api.base import PublicView, read_input
from accounts.api.login import sign_in_body
from accounts.api.schema import REQUEST_OPTIONS_EXAMPLE, operation
from accounts.api.second_factor import SIGN_IN_EXAMPLE, PasskeyField
from accounts.api.serializers import SignInSerializer

ASSERTION_EXAMPLE = {
    "id": "m8Zt…",
    "rawId": "m8Zt…",
    "type": "public-key",
    "response": {"clientDataJSON": "eyJ0…", "authenticatorData": "SZYN…", "signature": "MEUC…", "userHandle": "AZOI…"},
}


class LoginOptionsView(PublicView):
    @operation(
        "Begin to log in with a passkey",
        description="The response is a `PublicKeyCredentialRequestOptionsJSON`, alike for all users.",
        ignores_body=True,
        success=(200, OpenApiTypes.OBJECT),
        errors=["not_found"],
        response_example=REQUEST_OPTIONS_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        return Response(passkey_login.begin())


class PasskeyLoginInput(serializers.Serializer[Any]):
    passkey = PasskeyField()


class PasskeyLoginView(PublicView):
    @operation(
        "Log in with a passkey",
        description="Needs no password and no second factor: the passkey must have verified the user.",
        request=PasskeyLoginInput,
        success=(200, SignInSerializer),
        errors=[
            *("invalid_credentials", "email_not_verified", "account_suspended", "throttled"),
            *("enrolment_required", "not_found"),
        ],
        request_example={"passkey": ASSERTION_EXAMPLE},
        response_example=SIGN_IN_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        return Response(sign_in_body(passkey_login.finish(read_input(PasskeyLoginInput, request)["passkey"])))
