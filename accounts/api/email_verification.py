"""Confirms that an email address belongs to its user, and sends further links for it."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import email_verification
from accounts.api.base import PublicView, email_sent_if_known, optional_session, read_input
from accounts.api.schema import operation
from accounts.api.serializers import AddressInput, DetailSerializer, TokenInput


class VerifyEmailView(PublicView):
    @operation(
        "Confirm an address",
        description="May be repeated until the token expires. The first confirmation ends all sessions of the user "
        "except that of the access token sent with the request, if any.",
        request=TokenInput,
        errors=["invalid_token", "throttled"],
        request_example={"token": "the token of the emailed link"},
    )
    def post(self, request: Request) -> Response:
        email_verification.confirm(read_input(TokenInput, request)["token"], keep=optional_session(request))
        return Response(status=204)


class ResendVerificationView(PublicView):
    @operation(
        "Ask for another confirmation link",
        request=AddressInput,
        success=(202, DetailSerializer),
        errors=["throttled"],
        request_example={"email": "ana@example.com"},
    )
    def post(self, request: Request) -> Response:
        email_verification.request(**read_input(AddressInput, request))
        return email_sent_if_known()
