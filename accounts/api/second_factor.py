"""Finishes a login with the second factor, and lets a signed-in user authenticate again."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import second_factor
from accounts.api.base import ApiView, AuthenticatedRequest, PublicView, read_input
from accounts.api.input_fields import PasswordField, StrictCharField, TokenField
from accounts.api.login import TOKENS_EXAMPLE, sign_in_body, tokens
from accounts.api.schema import AUTHENTICATION_ERRORS, OWN_OPTIONS_EXAMPLE, TOKEN_ERRORS, USER_EXAMPLE, operation
from accounts.api.serializers import SignInSerializer, TokensSerializer
from accounts.mfa import passkey_options
from accounts.mfa.submitted_proofs import SubmittedProof

SIGN_IN_EXAMPLE = {**TOKENS_EXAMPLE, "user": {**USER_EXAMPLE, "email_verified": True, "mfa_enabled": True}}


class CodeField(StrictCharField):
    """A code. Accepts any text: one that can't be a code is a wrong code, and the response doesn't tell them apart."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_blank=True, write_only=True, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Returns a text as it is: the checks of REST framework's field would reject some of them as invalid input."""
        return data if isinstance(data, str) else super().run_validation(data)


class PasskeyField(serializers.DictField):
    """The credential's `toJSON()`. What it contains is not validated: a malformed one is a wrong one."""

    default_error_messages = {"invalid": _("This passkey was not accepted.")}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        super().__init__(write_only=True, help_text="The credential's `toJSON()`.", **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is not serializers.empty and not isinstance(data, dict):
            self.fail("invalid")
        return super().run_validation(data)


class ProofInput(serializers.Serializer[Any]):
    """Exactly one proof of a second factor."""

    PROOFS: tuple[str, ...] = ("code", "recovery_code", "passkey")

    code = CodeField(required=False, help_text="Six digits.")
    recovery_code = CodeField(required=False)
    passkey = PasskeyField(required=False)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if len([name for name in self.PROOFS if name in data]) != 1:
            raise serializers.ValidationError(_("Send exactly one proof."), code="invalid")
        return data


def submitted_in(data: dict[str, Any]) -> SubmittedProof:
    """Returns the proof in the data of a ProofInput."""
    return SubmittedProof(**{name: data[name] for name in SubmittedProof._fields if name in data})


class SecondFactorInput(ProofInput):
    mfa_token = TokenField()


class SecondFactorView(PublicView):
    @operation(
        "Finish a login with the second factor",
        description="The `mfa_token` is the one of the error `second_factor_required`. Five wrong proofs end it.",
        request=SecondFactorInput,
        success=(200, SignInSerializer),
        errors=["invalid_token", "invalid_second_factor", "account_suspended", "email_not_verified", "throttled"],
        request_example={"mfa_token": "kX9…", "code": "123456"},
        response_example=SIGN_IN_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        data = read_input(SecondFactorInput, request)
        return Response(sign_in_body(second_factor.finish_login(data["mfa_token"], submitted_in(data))))


class StepUpOptionsView(ApiView):
    @operation(
        "Begin to authenticate again with a passkey",
        description="The response is a `PublicKeyCredentialRequestOptionsJSON` with the user's own passkeys.",
        operation_id="begin_step_up",
        success=(200, OpenApiTypes.OBJECT),
        errors=AUTHENTICATION_ERRORS,
        response_example=OWN_OPTIONS_EXAMPLE,
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        return Response(passkey_options.for_step_up(request.auth))


class StepUpInput(ProofInput):
    PROOFS = (*ProofInput.PROOFS, "password")

    password = PasswordField(required=False, max_length=1024, help_text="Only for a user without a second factor.")


class StepUpView(ApiView):
    is_open_to_overdue = True

    @operation(
        "Authenticate again",
        description="Sensitive actions need a recent login. The new tokens belong to the same session, and the "
        "older refresh token ends it if it is used again.",
        operation_id="step_up",
        request=StepUpInput,
        success=(200, TokensSerializer),
        errors=[
            *TOKEN_ERRORS,
            *("invalid_second_factor", "invalid_credentials", "throttled", "overloaded"),
        ],
        request_example={"code": "123456"},
        response_example=TOKENS_EXAMPLE,
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        data = read_input(StepUpInput, request)
        if "password" in data:
            return Response(tokens(second_factor.step_up_with_password(request.auth, data["password"])))
        return Response(tokens(second_factor.step_up(request.auth, submitted_in(data))))
