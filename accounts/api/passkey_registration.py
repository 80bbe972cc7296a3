"""Adds passkeys. The browser needs options first, with a challenge that the passkey signs."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import passkey_registration
from accounts.api.base import PublicView, created
from accounts.api.enrolment import (
    RECOVERY_CODES_EXAMPLE,
    EnrolledSerializer,
    EnrolmentInput,
    enrolled_body,
    read_enrolment,
)
from accounts.api.input_fields import StrictCharField, TokenField
from accounts.api.passkey_login import ASSERTION_EXAMPLE
from accounts.api.schema import FACTOR_EXAMPLE, OPTIONAL_AUTH, TOKEN_ERRORS, USER_EXAMPLE, operation
from accounts.api.second_factor import SIGN_IN_EXAMPLE, PasskeyField
from accounts.validators import FACTOR_NAME_MAX_LENGTH, validate_name

CREATION_OPTIONS_EXAMPLE = {
    "rp": {"id": "id.example.com", "name": "UserManager"},
    "user": {"id": "AZOI8XxOfQqfbiudHD9acA", "name": USER_EXAMPLE["email"], "displayName": USER_EXAMPLE["full_name"]},
    "challenge": "AQSgk3…",
    "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
    "timeout": 300_000,
    "excludeCredentials": [],
    "authenticatorSelection": {"residentKey": "required", "requireResidentKey": True, "userVerification": "required"},
    "attestation": "none",
}
ATTESTATION_EXAMPLE = {**ASSERTION_EXAMPLE, "response": {"clientDataJSON": "eyJ0…", "attestationObject": "o2Nm…"}}
PASSKEY_FACTOR_EXAMPLE = {**FACTOR_EXAMPLE, "type": "passkey", "name": "Passkey", "is_synced": True}


class PasskeyOptionsInput(EnrolmentInput):
    pass


class PasskeyOptionsView(PublicView):
    @operation(
        "Begin to add a passkey",
        description="The response is a `PublicKeyCredentialCreationOptionsJSON`. Needs a fresh login, or an "
        "`mfa_token`.",
        request=PasskeyOptionsInput,
        success=(200, OpenApiTypes.OBJECT),
        errors=[*TOKEN_ERRORS, *("invalid_token", "email_not_verified", "fresh_login_required", "conflict")],
        request_example={},
        response_example=CREATION_OPTIONS_EXAMPLE,
        auth=OPTIONAL_AUTH,
    )
    def post(self, request: Request) -> Response:
        enrolling, data = read_enrolment(PasskeyOptionsInput, request)
        return Response(passkey_registration.begin(enrolling, emailed_token=data.get("token", "")))


class PasskeyInput(serializers.Serializer[Any]):
    passkey = PasskeyField()
    name = StrictCharField(
        required=False, allow_blank=True, max_length=FACTOR_NAME_MAX_LENGTH, validators=[validate_name]
    )
    mfa_token = TokenField(required=False)


class PasskeysView(PublicView):
    @operation(
        "Add a passkey",
        description="All other sessions end. Needs a fresh login, or an `mfa_token`.",
        request=PasskeyInput,
        success=(201, EnrolledSerializer),
        errors=[*TOKEN_ERRORS, *("invalid_token", "email_not_verified", "fresh_login_required", "conflict")],
        request_example={"passkey": ATTESTATION_EXAMPLE, "name": "Passkey"},
        response_example={
            **SIGN_IN_EXAMPLE,
            "factor": PASSKEY_FACTOR_EXAMPLE,
            "recovery_codes": RECOVERY_CODES_EXAMPLE,
        },
        auth=OPTIONAL_AUTH,
    )
    def post(self, request: Request) -> Response:
        enrolling, data = read_enrolment(PasskeyInput, request)
        enrolled = passkey_registration.finish(enrolling, data["passkey"], name=data.get("name", ""))
        return created(enrolled_body(enrolled), f"users/{enrolling.user.pk}/factors/{enrolled.factor.id}/")
