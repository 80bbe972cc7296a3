"""Suspending a user, seeing why they are, and letting them in again."""

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from accounts import names, suspension, users
from accounts.api.base import SignedIn, read
from accounts.api.fields import TextField
from accounts.api.outputs import UserSerializer
from accounts.api.people import OfPeople
from accounts.api.schema import SIGNED_IN, USER_EXAMPLE, operation
from accounts.models import User

REFUSALS = (*SIGNED_IN, "permission_denied", "not_found")
EXAMPLE = {"reason": "Chargeback", "until": "2030-01-31T12:00:00Z"}


class SuspendInput(serializers.Serializer[Any]):
    reason = TextField(
        max_length=names.REASON_LENGTH, required=False, allow_blank=True, validators=[names.validate_reason]
    )
    until = serializers.DateTimeField(required=False, allow_null=True, help_text="When they are let in again.")


class SuspensionSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True, help_text="Null where the audit trail does not reach so far.")
    until = serializers.DateTimeField(allow_null=True, help_text="When they are let in again, if that is settled.")
    actor = serializers.UUIDField(allow_null=True)


class SuspensionViewSet(OfPeople):
    queryset = User.objects.all()

    @operation(
        "Suspend a user",
        description="Every session and every mailed link of theirs ends. With `until` they are let in again then; "
        "suspending somebody again replaces the reason and the end.",
        request=SuspendInput,
        success=(200, UserSerializer),
        refusals=[*REFUSALS, "last_admin", "throttled"],
        example=EXAMPLE,
        answer=USER_EXAMPLE | {"is_active": False},
    )
    def begin(self, request: SignedIn, pk: str) -> Response:
        user = self.other(pk, "users.change")
        user = users.suspend(user, actor=request.user, **read(SuspendInput, request))
        return Response(UserSerializer(user).data)

    @operation(
        "See why a user is suspended",
        description="`not_found` for somebody who is not.",
        success=(200, SuspensionSerializer),
        refusals=REFUSALS,
        answer=EXAMPLE | {"since": "2026-01-02T03:04:05.678901Z", "actor": USER_EXAMPLE["id"]},
    )
    def retrieve(self, request: SignedIn, pk: str) -> Response:
        found = suspension.current(self.other(pk, "users.view"))
        if found is None:
            raise NotFound
        return Response(SuspensionSerializer(found).data)

    @operation(
        "Activate a user",
        success=(200, UserSerializer),
        refusals=[*REFUSALS, "throttled"],
        answer=USER_EXAMPLE,
    )
    def end(self, request: SignedIn, pk: str) -> Response:
        user = users.activate(self.other(pk, "users.change"), actor=request.user)
        return Response(UserSerializer(user).data)
