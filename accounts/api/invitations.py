"""Inviting a user again, seeing how their invitation stands, and taking it back."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts import invitations
from accounts.api.base import SignedIn
from accounts.api.outputs import DetailSerializer
from accounts.api.people import OfPeople, a_mail_is_on_its_way
from accounts.api.schema import SIGNED_IN, operation
from accounts.models import User

REFUSALS = (*SIGNED_IN, "permission_denied", "not_found")


class InvitationSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=invitations.State.values)
    invited_at = serializers.DateTimeField(allow_null=True)


class InvitationViewSet(OfPeople):
    queryset = User.objects.all()

    @operation("Invite a user again", success=(202, DetailSerializer), refusals=[*REFUSALS, "conflict"])
    def send(self, request: SignedIn, pk: str) -> Response:
        invitations.invite(self.other(pk, "users.change"), actor=request.user)
        return a_mail_is_on_its_way()

    @operation(
        "See how an invitation stands",
        success=(200, InvitationSerializer),
        refusals=REFUSALS,
        answer={"state": "sent", "invited_at": "2026-01-02T03:04:05.678901Z"},
    )
    def retrieve(self, request: SignedIn, pk: str) -> Response:
        user = self.other(pk, "users.view")
        stands = {"state": invitations.state(user), "invited_at": user.invited_at}
        return Response(InvitationSerializer(stands).data)

    @operation(
        "Revoke an invitation",
        description="Its links are dead, and a forgotten password brings no other. Refused for one that was accepted.",
        refusals=[*REFUSALS, "conflict"],
    )
    def revoke(self, request: SignedIn, pk: str) -> Response:
        invitations.revoke(self.other(pk, "users.change"), actor=request.user)
        return Response(status=204)
