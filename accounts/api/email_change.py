"""Changes a user's own email address."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import email_change
from accounts.api.base import ApiView, AuthenticatedRequest, PublicView, read_input
from accounts.api.input_fields import AddressField, PasswordField
from accounts.api.schema import AUTHENTICATION_ERRORS, operation
from accounts.api.serializers import DetailSerializer, TokenInput
from accounts.models import Session


class ChangeAddressInput(serializers.Serializer[Any]):
    new_email = AddressField()
    current_password = PasswordField(max_length=1024)


class ChangeAddressView(ApiView):
    def needs_fresh_login(self, session: Session) -> bool:
        return session.user.mfa_enabled

    @operation(
        "Ask for another address",
        description="Sends a link to the new address and a notice to the old one. A user whose role holds permissions "
        "of UserManager must have confirmed the current address first; otherwise the error is `email_not_verified`. A "
        "user with a second factor needs a fresh login as well.",
        request=ChangeAddressInput,
        success=(202, DetailSerializer),
        errors=[*AUTHENTICATION_ERRORS, "fresh_login_required", "email_not_verified", "throttled", "overloaded"],
        request_example={"new_email": "ana.garcia@example.com", "current_password": "correct horse battery staple"},
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        email_change.request(request.user, keep=request.auth, **read_input(ChangeAddressInput, request))
        return Response({"detail": _("Please follow the link that we have sent to the new address.")}, 202)


class ConfirmAddressView(PublicView):
    @operation(
        "Confirm another address",
        description="Changes the address. Ends all sessions of the user except the one that requested the change.",
        request=TokenInput,
        errors=["invalid_token", "throttled"],
        request_example={"token": "the token of the emailed link"},
    )
    def post(self, request: Request) -> Response:
        email_change.confirm(read_input(TokenInput, request)["token"])
        return Response(status=204)
