"""Moving to another address."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import addresses_change
from accounts.api.base import ApiView, OpenView, SignedIn, read
from accounts.api.fields import AddressField, PasswordField
from accounts.api.outputs import DetailSerializer
from accounts.api.registration import TokenInput
from accounts.api.schema import SIGNED_IN, operation


class ChangeAddressInput(serializers.Serializer[Any]):
    new_email = AddressField()
    current_password = PasswordField(max_length=1024)


class ChangeAddressView(ApiView):
    @operation(
        "Ask for another address",
        description="A link goes to the new address, a notice to the old one. A user whose role holds permissions of "
        "UserManager and who has not confirmed the present address is refused: `email_not_verified`.",
        request=ChangeAddressInput,
        success=(202, DetailSerializer),
        refusals=[*SIGNED_IN, "email_not_verified", "throttled", "overloaded"],
        example={"new_email": "ana.garcia@example.com", "current_password": "correct horse battery staple"},
    )
    def post(self, request: SignedIn) -> Response:
        addresses_change.request(request.user, keep=request.auth, **read(ChangeAddressInput, request))
        return Response({"detail": _("Please follow the link that we have sent to the new address.")}, 202)


class ConfirmAddressView(OpenView):
    @operation(
        "Confirm another address",
        description="The address changes now. Every session ends but the one in which the change was asked for.",
        request=TokenInput,
        refusals=["invalid_token", "throttled"],
        example={"token": "the token of the mailed link"},
    )
    def post(self, request: Request) -> Response:
        addresses_change.confirm(read(TokenInput, request)["token"])
        return Response(status=204)
