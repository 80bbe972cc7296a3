"""Registers users."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import registration
from accounts.api.base import HashingView, created, read_input
from accounts.api.input_fields import AddressField, FullNameField, LocaleField, NewPasswordField
from accounts.api.schema import USER_EXAMPLE, operation
from accounts.api.serializers import DetailSerializer, UserSerializer
from accounts.registration import ConfirmationPending


class RegisterInput(serializers.Serializer[Any]):
    email = AddressField()
    password = NewPasswordField()
    full_name = FullNameField()
    locale = LocaleField()


class RegisterView(HashingView):
    @operation(
        "Register",
        description="With `EMAIL_VERIFICATION=required`, the response is 202 for new and for known addresses alike.",
        request=RegisterInput,
        success=(201, UserSerializer),
        also={202: DetailSerializer},
        errors=["registration_closed", "throttled", "overloaded"],
        request_example={"email": "ana@example.com", "password": "correct horse battery staple", "full_name": "Ana"},
        response_example=USER_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        result = registration.register(**read_input(RegisterInput, request))
        if isinstance(result, ConfirmationPending):
            return Response({"detail": _("We've sent you an email. Please follow the link in it.")}, 202)
        return created(UserSerializer.show(result), f"users/{result.pk}/")
