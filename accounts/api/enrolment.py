"""Adds second factors, in a session or in a pending login that has to enrol."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from accounts import enrolment, freshness
from accounts.api.base import PublicView, read_input
from accounts.api.input_fields import StrictUUIDField, TokenField
from accounts.api.login import sign_in_body
from accounts.api.schema import FACTOR_EXAMPLE, OPTIONAL_AUTH, TOKEN_ERRORS, operation
from accounts.api.second_factor import SIGN_IN_EXAMPLE, CodeField
from accounts.api.serializers import FactorSerializer, SignInSerializer
from accounts.enrolment import Enrolled, Enrolling
from accounts.errors import NotAuthenticated
from accounts.jwt.access_tokens import SessionJWTAuthentication
from accounts.mfa import totp_setup

TOTP_EXAMPLE = {
    "id": FACTOR_EXAMPLE["id"],
    "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    "otpauth_uri": "otpauth://totp/UserManager:ana%40example.com?secret=JBSW…&issuer=UserManager",
    "qr_code": "data:image/svg+xml;charset=utf-8,…",
    "expires_in": 300,
}
RECOVERY_CODES_EXAMPLE = ["7Q2K-9XMA-4T0R-W8EZ-1BNC-5HYD"]


class EnrolledSerializer(SignInSerializer):
    factor = FactorSerializer()
    recovery_codes = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Only with the first factor. They are not shown again."
    )


class EnrolmentInput(serializers.Serializer[Any]):
    mfa_token = TokenField(
        required=False, help_text="Of the error `enrolment_required`; else an access token is needed."
    )
    token = TokenField(required=False, help_text="Of the emailed link, if the error has `needs_mail`.")


class TotpInput(EnrolmentInput):
    pass


class TotpSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    secret = serializers.CharField(help_text="In base32, for typing it into an authenticator app.")
    otpauth_uri = serializers.CharField()
    qr_code = serializers.CharField(help_text="The same address as an image: a `data:` URL of an SVG.")
    expires_in = serializers.IntegerField(help_text="Seconds until the enrolment ends.")


class TotpView(PublicView):
    @operation(
        "Begin to add an authenticator app",
        description="Nothing changes until the first code is confirmed. Needs a fresh login, or an `mfa_token`.",
        request=TotpInput,
        success=(201, TotpSerializer),
        errors=[
            *TOKEN_ERRORS,
            *("invalid_token", "email_not_verified", "fresh_login_required", "conflict", "throttled"),
        ],
        request_example={},
        response_example=TOTP_EXAMPLE,
        auth=OPTIONAL_AUTH,
    )
    def post(self, request: Request) -> Response:
        enrolling, data = read_enrolment(TotpInput, request)
        new = enrolment.begin_totp(enrolling, emailed_token=data.get("token", ""))
        qr_code = totp_setup.data_url(new.uri)
        body = {"id": new.id, "secret": new.secret, "otpauth_uri": new.uri, "qr_code": qr_code}
        return Response(body | {"expires_in": new.expires_in}, 201)


class ConfirmTotpInput(serializers.Serializer[Any]):
    id = StrictUUIDField()
    code = CodeField(help_text="Six digits.")
    mfa_token = TokenField(required=False)


class ConfirmTotpView(PublicView):
    @operation(
        "Finish adding an authenticator app",
        description="Replaces an older authenticator app. All other sessions end. Needs a fresh login, or an "
        "`mfa_token`.",
        request=ConfirmTotpInput,
        success=(200, EnrolledSerializer),
        errors=[
            *TOKEN_ERRORS,
            *("invalid_token", "invalid_second_factor", "email_not_verified", "fresh_login_required"),
        ],
        request_example={"id": TOTP_EXAMPLE["id"], "code": "123456"},
        response_example={**SIGN_IN_EXAMPLE, "factor": FACTOR_EXAMPLE, "recovery_codes": RECOVERY_CODES_EXAMPLE},
        auth=OPTIONAL_AUTH,
    )
    def post(self, request: Request) -> Response:
        enrolling, data = read_enrolment(ConfirmTotpInput, request)
        return Response(enrolled_body(enrolment.confirm_totp(enrolling, data["id"], data["code"])))


def read_enrolment(serializer: type[Serializer[Any]], request: Request) -> tuple[Enrolling, dict[str, Any]]:
    """Returns the user who adds a factor, and the data of the body. The user is that of the `mfa_token` in the body or,
    without one, that of the access token.

    Raises ValidationError and InvalidToken. Without an `mfa_token`, raises NotAuthenticated, TokenNotValid and
    FreshLoginRequired before it reads the body.
    """
    if isinstance(request.data, dict) and "mfa_token" in request.data:
        data = read_input(serializer, request)
        return enrolment.in_pending_login(data["mfa_token"]), data
    authenticated = SessionJWTAuthentication().authenticate(request)
    if authenticated is None:
        raise NotAuthenticated
    session = authenticated[1]
    freshness.require(session)
    return enrolment.in_session(session), read_input(serializer, request)


def enrolled_body(enrolled: Enrolled) -> dict[str, Any]:
    """Returns the body of the response to a new factor."""
    codes = {"recovery_codes": enrolled.recovery_codes} if enrolled.recovery_codes else {}
    return {**sign_in_body(enrolled.sign_in), "factor": FactorSerializer(enrolled.factor).data, **codes}
