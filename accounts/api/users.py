"""Administering users."""

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from accounts import invitations, users
from accounts.api.base import SignedIn, read
from accounts.api.fields import AddressField, FullNameField, LocaleField, MetadataField, NewPasswordField, RoleField
from accounts.api.me import OwnChanges
from accounts.api.outputs import DetailSerializer, UserSerializer
from accounts.api.people import OfPeople
from accounts.api.schema import SIGNED_IN, USER_EXAMPLE, operation
from accounts.filters import USER_ORDERINGS, UserFilter
from accounts.models import User

REFUSALS = (*SIGNED_IN, "permission_denied", "not_found")


class UserChanges(serializers.Serializer[Any]):
    email = AddressField()
    full_name = FullNameField()
    role = RoleField(required=False)
    is_active = serializers.BooleanField(required=False)
    email_verified = serializers.BooleanField(required=False)
    locale = LocaleField()
    metadata = MetadataField(required=False)


class UserInput(UserChanges):
    password = NewPasswordField(required=False)


class SuspendInput(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=250, required=False, allow_blank=True)


CHANGES_EXAMPLE = {"email": "ana@example.com", "full_name": "Ana", "role": "user", "metadata": {"plan": "pro"}}


class UserViewSet(OfPeople):
    queryset = User.objects.select_related("role")
    serializer_class = UserSerializer
    filterset_class = UserFilter
    orderings: ClassVar[dict[str, str]] = USER_ORDERINGS
    needs: ClassVar[dict[str, str]] = {"list": "users.view", "create": "users.add"}

    @operation(
        "List users",
        success=(200, UserSerializer(many=True)),
        refusals=[*SIGNED_IN, "permission_denied", "validation_error"],
    )
    def list(self, request: SignedIn) -> Response:
        return self.page_of(self.filter_queryset(self.get_queryset()), UserSerializer)

    @operation(
        "Create or invite a user",
        description="Without a password the user is invited by mail to choose one.",
        request=UserInput,
        success=(201, UserSerializer),
        refusals=[*SIGNED_IN, "permission_denied", "overloaded"],
        example=CHANGES_EXAMPLE,
        answer=USER_EXAMPLE,
    )
    def create(self, request: SignedIn) -> Response:
        user = users.create(actor=request.user, **read(UserInput, request))
        return Response(UserSerializer(user).data, 201)

    @operation("See a user", success=(200, UserSerializer), refusals=REFUSALS, answer=USER_EXAMPLE)
    def retrieve(self, request: SignedIn, pk: str) -> Response:
        return Response(UserSerializer(self.person(pk, "users.view")).data)

    @operation(
        "Replace a user",
        request=UserChanges,
        success=(200, UserSerializer),
        refusals=[*REFUSALS, "last_admin"],
        example=CHANGES_EXAMPLE,
        answer=USER_EXAMPLE,
    )
    def update(self, request: SignedIn, pk: str) -> Response:
        return self._change(request, pk, partial=False)

    @operation(
        "Change a user",
        request=UserChanges(partial=True),
        success=(200, UserSerializer),
        refusals=[*REFUSALS, "last_admin"],
        example={"full_name": "Ana García"},
        answer=USER_EXAMPLE,
    )
    def partial_update(self, request: SignedIn, pk: str) -> Response:
        return self._change(request, pk, partial=True)

    def _change(self, request: SignedIn, pk: str, *, partial: bool) -> Response:
        """One's own account takes one's own fields, and all of them from those who may change users."""
        user = self.person(pk, "users.change")
        changes = UserChanges if request.user.has_perm("users.change") else OwnChanges
        user = users.update(user, actor=request.user, **read(changes, request, partial=partial))
        return Response(UserSerializer(user).data)

    @operation("Delete a user", refusals=[*REFUSALS, "last_admin"])
    def destroy(self, request: SignedIn, pk: str) -> Response:
        users.delete(self.other(pk, "users.delete"), actor=request.user)
        return Response(status=204)

    @operation(
        "Suspend a user",
        description="Every session and every mailed link of theirs ends.",
        request=SuspendInput,
        success=(200, UserSerializer),
        refusals=[*REFUSALS, "last_admin"],
        example={"reason": "Chargeback"},
        answer=USER_EXAMPLE,
    )
    @action(detail=True, methods=["post"])
    def suspend(self, request: SignedIn, pk: str) -> Response:
        user = self.other(pk, "users.change")
        user = users.suspend(user, actor=request.user, **read(SuspendInput, request))
        return Response(UserSerializer(user).data)

    @operation("Activate a user", success=(200, UserSerializer), refusals=REFUSALS, answer=USER_EXAMPLE)
    @action(detail=True, methods=["post"])
    def activate(self, request: SignedIn, pk: str) -> Response:
        user = users.activate(self.other(pk, "users.change"), actor=request.user)
        return Response(UserSerializer(user).data)

    @operation("Forget failed logins of a user", success=(200, UserSerializer), refusals=REFUSALS, answer=USER_EXAMPLE)
    @action(detail=True, methods=["post"])
    def unlock(self, request: SignedIn, pk: str) -> Response:
        user = users.unlock(self.other(pk, "users.change"), actor=request.user)
        return Response(UserSerializer(user).data)

    @operation("Invite a user again", success=(202, DetailSerializer), refusals=[*REFUSALS, "conflict"])
    @action(detail=True, methods=["post"])
    def invite(self, request: SignedIn, pk: str) -> Response:
        invitations.invite(self.other(pk, "users.change"), actor=request.user)
        return a_mail_is_on_its_way()

    @operation("Mail a user a reset link", success=(202, DetailSerializer), refusals=REFUSALS)
    @action(detail=True, methods=["post"], url_path="password-reset")
    def password_reset(self, request: SignedIn, pk: str) -> Response:
        users.send_password_reset(self.other(pk, "users.change"), actor=request.user)
        return a_mail_is_on_its_way()


def a_mail_is_on_its_way() -> Response:
    return Response({"detail": _("A mail is on its way.")}, 202)
