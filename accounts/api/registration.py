"""Registering, confirming the address and accepting an invitation."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import invitations, registration
from accounts.api.base import HashingView, OpenView, read, session_of
from accounts.api.fields import AddressField, FullNameField, LocaleField, NewPasswordField, TokenField
from accounts.api.outputs import DetailSerializer, UserSerializer
from accounts.api.schema import USER_EXAMPLE, operation


class RegisterInput(serializers.Serializer[Any]):
    email = AddressField()
    password = NewPasswordField()
    full_name = FullNameField()
    locale = LocaleField()


class RegisterView(HashingView):
    @operation(
        "Register",
        description="With `EMAIL_VERIFICATION=required` the answer is 202, the same for a known address.",
        request=RegisterInput,
        success=(201, UserSerializer),
        also={202: DetailSerializer},
        refusals=["registration_closed", "throttled", "overloaded"],
        example={"email": "ana@example.com", "password": "correct horse battery staple", "full_name": "Ana"},
        answer=USER_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        user = registration.register(**read(RegisterInput, request))
        if user is None:
            return Response({"detail": _("We have sent you a mail. Please follow the link in it.")}, 202)
        return Response(UserSerializer(user).data, 201)


class TokenInput(serializers.Serializer[Any]):
    token = TokenField()


class VerifyEmailView(OpenView):
    @operation(
        "Confirm an address",
        description="May be repeated while the token lives. The first time ends every session of the user but the one "
        "whose access token is sent along, if one is.",
        request=TokenInput,
        refusals=["invalid_token", "throttled"],
        example={"token": "the token of the mailed link"},
    )
    def post(self, request: Request) -> Response:
        registration.verify_email(read(TokenInput, request)["token"], keep=session_of(request))
        return Response(status=204)


class AddressInput(serializers.Serializer[Any]):
    email = AddressField()


class ResendVerificationView(OpenView):
    @operation(
        "Ask for another confirmation link",
        request=AddressInput,
        success=(202, DetailSerializer),
        refusals=["throttled"],
        example={"email": "ana@example.com"},
    )
    def post(self, request: Request) -> Response:
        registration.request_verification(**read(AddressInput, request))
        return a_mail_may_be_on_its_way()


class AcceptInvitationInput(serializers.Serializer[Any]):
    token = TokenField()
    password = NewPasswordField()
    full_name = FullNameField()


class AcceptInvitationView(HashingView):
    @operation(
        "Accept an invitation",
        request=AcceptInvitationInput,
        refusals=["invalid_token", "throttled", "overloaded"],
        example={"token": "the token of the mailed link", "password": "correct horse battery staple"},
    )
    def post(self, request: Request) -> Response:
        data = read(AcceptInvitationInput, request)
        invitations.accept(data.pop("token"), data.pop("password"), **data)
        return Response(status=204)


def a_mail_may_be_on_its_way() -> Response:
    """The one answer for known and unknown addresses."""
    return Response({"detail": _("If there is an account with this address, a mail is on its way.")}, 202)
