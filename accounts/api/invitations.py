"""Sends, shows, revokes and accepts invitations."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import invitations
from accounts.api.base import AuthenticatedRequest, HashingView, email_sent, read_input
from accounts.api.input_fields import FullNameField, NewPasswordField, TokenField
from accounts.api.schema import AUTHENTICATION_ERRORS, operation
from accounts.api.serializers import DetailSerializer
from accounts.api.user_scoped import UserScopedViewSet
from accounts.models import User

ERRORS = (*AUTHENTICATION_ERRORS, "permission_denied", "not_found")


class InvitationSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=invitations.State.values)
    invited_at = serializers.DateTimeField(allow_null=True)


class InvitationViewSet(UserScopedViewSet):
    queryset = User.objects.all()

    @operation(
        "Invite a user again",
        permission="users.change",
        success=(202, DetailSerializer),
        errors=[*ERRORS, "conflict"],
    )
    def send(self, request: AuthenticatedRequest, pk: str) -> Response:
        invitations.invite(self.get_user(pk, "users.change"), actor=request.user)
        return email_sent()

    @operation(
        "See the state of an invitation",
        permission="users.view",
        operation_id="see_how_an_invitation_stands",
        success=(200, InvitationSerializer),
        errors=ERRORS,
        response_example={"state": "sent", "invited_at": "2026-01-02T03:04:05.678901Z"},
    )
    def retrieve(self, request: AuthenticatedRequest, pk: str) -> Response:
        user = self.get_user(pk, "users.view")
        invitation = {"state": invitations.state_of(user), "invited_at": user.invited_at}
        return Response(InvitationSerializer(invitation).data)

    @operation(
        "Revoke an invitation",
        permission="users.change",
        description="Its links stop working, and the user gets no reset link to choose a password instead. An "
        "accepted invitation cannot be revoked (`conflict`).",
        errors=[*ERRORS, "conflict"],
    )
    def revoke(self, request: AuthenticatedRequest, pk: str) -> Response:
        invitations.revoke(self.get_user(pk, "users.change"), actor=request.user)
        return Response(status=204)


class AcceptInvitationInput(serializers.Serializer[Any]):
    token = TokenField()
    password = NewPasswordField()
    full_name = FullNameField()


class AcceptInvitationView(HashingView):
    @operation(
        "Accept an invitation",
        request=AcceptInvitationInput,
        errors=["invalid_token", "throttled", "overloaded"],
        request_example={"token": "the token of the emailed link", "password": "correct horse battery staple"},
    )
    def post(self, request: Request) -> Response:
        data = read_input(AcceptInvitationInput, request)
        invitations.accept(data.pop("token"), data.pop("password"), **data)
        return Response(status=204)
