"""Logging in, refreshing, checking a token and logging out."""

from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access_tokens, login, sessions
from accounts.access_tokens import SessionJWTAuthentication
from accounts.api.base import ApiView, HashingView, OpenView, SignedIn, read
from accounts.api.fields import PasswordField, TextField, TokenField
from accounts.api.outputs import SignInSerializer, TokensSerializer, UserSerializer
from accounts.api.schema import SIGNED_IN, USER_EXAMPLE, operation
from accounts.errors import NotAuthenticated

TOKENS_EXAMPLE = {"access": "eyJhbGciOiJFUzI1NiIs…", "refresh": "AQGTiPF8…", "token_type": "Bearer", "expires_in": 900}


class LoginInput(serializers.Serializer[Any]):
    email = TextField(max_length=254)
    password = PasswordField(max_length=1024)


class LoginView(HashingView):
    @operation(
        "Log in",
        request=LoginInput,
        success=(200, SignInSerializer),
        refusals=["invalid_credentials", "email_not_verified", "account_suspended", "throttled", "overloaded"],
        example={"email": "ana@example.com", "password": "correct horse battery staple"},
        answer={**TOKENS_EXAMPLE, "user": USER_EXAMPLE},
    )
    def post(self, request: Request) -> Response:
        sign_in = login.log_in(**read(LoginInput, request))
        return Response({**_tokens(sign_in), "user": UserSerializer(sign_in.session.user).data})


class RefreshInput(serializers.Serializer[Any]):
    refresh = TokenField()


class RefreshView(OpenView):
    @operation(
        "Exchange a refresh token",
        description="A token works once; again within the grace period it is answered with the same successor, "
        "and after that it ends the session.",
        request=RefreshInput,
        success=(200, TokensSerializer),
        refusals=["token_not_valid"],
        example={"refresh": "AQGTiPF8…"},
        answer=TOKENS_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        return Response(_tokens(login.refresh(read(RefreshInput, request)["refresh"])))


class VerifyInput(serializers.Serializer[Any]):
    token = TextField(max_length=16 * 1024, write_only=True)


class VerifyView(OpenView):
    @operation(
        "Check a token",
        description="Takes an access token or a refresh token; neither is used up.",
        request=VerifyInput,
        success=(200, OpenApiTypes.OBJECT),
        refusals=["token_not_valid"],
        example={"token": "eyJhbGciOiJFUzI1NiIs…"},
        answer={},
    )
    def post(self, request: Request) -> Response:
        token = read(VerifyInput, request)["token"]
        check = access_tokens.check if "." in token else sessions.check
        check(token)
        return Response({})


class LogoutInput(serializers.Serializer[Any]):
    refresh = TokenField(required=False, allow_null=True, allow_blank=True)


class LogoutView(OpenView):
    @operation(
        "Log out",
        description="Ends the session of the refresh token in the body, otherwise that of the bearer token.",
        request=LogoutInput,
        refusals=SIGNED_IN,
        example={},
        auth=[{"bearerAuth": []}, {}],
    )
    def post(self, request: Request) -> Response:
        if refresh := read(LogoutInput, request).get("refresh"):
            login.log_out(refresh)
            return Response(status=204)
        signed_in = SessionJWTAuthentication().authenticate(request)
        if signed_in is None:
            raise NotAuthenticated
        user, session = signed_in
        sessions.close(session, actor=user)
        return Response(status=204)


class LogoutAllView(ApiView):
    @operation("Log out everywhere", refusals=SIGNED_IN)
    def post(self, request: SignedIn) -> Response:
        sessions.revoke_all(request.user, actor=request.user)
        return Response(status=204)


def _tokens(sign_in: login.SignIn) -> dict[str, Any]:
    return {
        "access": sign_in.access,
        "refresh": sign_in.refresh,
        "token_type": "Bearer",
        "expires_in": int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
    }
