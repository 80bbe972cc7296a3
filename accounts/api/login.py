"""Logs in and out, exchanges refresh tokens and checks tokens."""

from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import login, sessions
from accounts.api.base import ApiView, AuthenticatedRequest, HashingView, PublicView, read_input
from accounts.api.input_fields import PasswordField, StrictCharField, TokenField
from accounts.api.schema import OPTIONAL_AUTH, TOKEN_ERRORS, USER_EXAMPLE, operation
from accounts.api.serializers import SignInSerializer, TokensSerializer, UserSerializer
from accounts.errors import NotAuthenticated
from accounts.jwt import access_tokens
from accounts.jwt.access_tokens import SessionJWTAuthentication
from accounts.mfa import policy

TOKENS_EXAMPLE = {"access": "eyJhbGciOiJFUzI1NiIs…", "refresh": "AQGTiPF8…", "token_type": "Bearer", "expires_in": 900}


class LoginInput(serializers.Serializer[Any]):
    email = StrictCharField(max_length=254)
    password = PasswordField(max_length=1024)


class LoginView(HashingView):
    @operation(
        "Log in",
        request=LoginInput,
        success=(200, SignInSerializer),
        errors=[
            *("invalid_credentials", "email_not_verified", "account_suspended", "throttled", "overloaded"),
            *("second_factor_required", "enrolment_required"),
        ],
        request_example={"email": "ana@example.com", "password": "correct horse battery staple"},
        response_example={**TOKENS_EXAMPLE, "user": USER_EXAMPLE},
    )
    def post(self, request: Request) -> Response:
        sign_in = login.log_in(**read_input(LoginInput, request))
        return Response(sign_in_body(sign_in))


class RefreshInput(serializers.Serializer[Any]):
    refresh = TokenField()


class RefreshView(PublicView):
    @operation(
        "Exchange a refresh token",
        description="A refresh token works once. If it is sent again within the grace period, the response contains "
        "the same new refresh token. If it is sent again later, the session ends.",
        request=RefreshInput,
        success=(200, TokensSerializer),
        errors=["token_not_valid", "enrolment_required"],
        request_example={"refresh": "AQGTiPF8…"},
        response_example=TOKENS_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        return Response(tokens(login.refresh(read_input(RefreshInput, request)["refresh"])))


class VerifyInput(serializers.Serializer[Any]):
    token = StrictCharField(max_length=16 * 1024, write_only=True)


class VerifyView(PublicView):
    @operation(
        "Check a token",
        description="Accepts an access token or a refresh token. The token stays valid.",
        request=VerifyInput,
        success=(200, OpenApiTypes.OBJECT),
        errors=["token_not_valid", "enrolment_required"],
        request_example={"token": "eyJhbGciOiJFUzI1NiIs…"},
        response_example={},
    )
    def post(self, request: Request) -> Response:
        token = read_input(VerifyInput, request)["token"]
        find_session = access_tokens.find_session if "." in token else sessions.find_by_refresh_token
        policy.require_not_overdue(find_session(token).user)
        return Response({})


class LogoutInput(serializers.Serializer[Any]):
    refresh = TokenField(required=False, allow_null=True, allow_blank=True)


class LogoutView(PublicView):
    @operation(
        "Log out",
        description="Ends the session of the refresh token in the body or, without one, that of the access token.",
        request=LogoutInput,
        errors=TOKEN_ERRORS,
        request_example={},
        auth=OPTIONAL_AUTH,
    )
    def post(self, request: Request) -> Response:
        if refresh := read_input(LogoutInput, request).get("refresh"):
            login.log_out(refresh)
            return Response(status=204)
        authenticated = SessionJWTAuthentication().authenticate(request)
        if authenticated is None:
            raise NotAuthenticated
        user, session = authenticated
        sessions.close(session, actor=user)
        return Response(status=204)


class LogoutAllView(ApiView):
    is_open_to_overdue = True

    @operation("Log out everywhere", errors=TOKEN_ERRORS)
    def post(self, request: AuthenticatedRequest) -> Response:
        login.log_out_everywhere(request.user)
        return Response(status=204)


def sign_in_body(sign_in: login.SignIn) -> dict[str, Any]:
    """Returns the body of the response to a login."""
    due = sign_in.second_factor_due
    body = {**tokens(sign_in), "user": UserSerializer.show(sign_in.session.user)}
    return body if due is None else body | {"second_factor_due": due}


def tokens(sign_in: login.SignIn) -> dict[str, Any]:
    """Returns the tokens as members of a body."""
    return {
        "access": sign_in.access,
        "refresh": sign_in.refresh,
        "token_type": "Bearer",
        "expires_in": int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
    }
