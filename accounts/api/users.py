"""Administering users."""

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from accounts import users
from accounts.api.base import SignedIn, read
from accounts.api.fields import (
    AddressField,
    FlagField,
    FullNameField,
    LocaleField,
    MetadataField,
    NewPasswordField,
    RoleField,
)
from accounts.api.me import OwnChanges
from accounts.api.outputs import DetailSerializer, UserSerializer
from accounts.api.people import OfPeople, a_mail_is_on_its_way
from accounts.api.schema import SIGNED_IN, USER_EXAMPLE, operation
from accounts.filters import USER_ORDERINGS, UserFilter
from accounts.models import User

REFUSALS = (*SIGNED_IN, "permission_denied", "not_found")


class UserChanges(serializers.Serializer[Any]):
    email = AddressField()
    full_name = FullNameField()
    role = RoleField(required=False)
    is_active = FlagField(required=False)
    email_verified = FlagField(required=False)
    locale = LocaleField()
    metadata = MetadataField(required=False)


class UserInput(UserChanges):
    password = NewPasswordField(required=False)


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
        answer=USER_EXAMPLE,
    )
    def list(self, request: SignedIn) -> Response:
        return self.page_of(self.filter_queryset(self.get_queryset()), UserSerializer)

    @operation(
        "Create or invite a user",
        description="Without a password the user is invited by mail to choose one.",
        request=UserInput,
        success=(201, UserSerializer),
        refusals=[*SIGNED_IN, "permission_denied", "throttled", "overloaded"],
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
        "Update a user",
        description="The address is required; a field that is not sent stays as it is. "
        "Another address ends the user's sessions; another role that holds permissions ends links mailed before.",
        request=UserChanges,
        success=(200, UserSerializer),
        refusals=[*REFUSALS, "last_admin", "throttled"],
        example=CHANGES_EXAMPLE,
        answer=USER_EXAMPLE,
    )
    def update(self, request: SignedIn, pk: str) -> Response:
        return self._change(request, pk, partial=False)

    @operation(
        "Change a user",
        description="Another address ends the user's sessions; "
        "another role that holds permissions ends links mailed before.",
        request=UserChanges(partial=True),
        success=(200, UserSerializer),
        refusals=[*REFUSALS, "last_admin", "throttled"],
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
        "Forget failed logins of a user",
        success=(200, UserSerializer),
        refusals=[*REFUSALS, "throttled"],
        answer=USER_EXAMPLE,
    )
    @action(detail=True, methods=["post"])
    def unlock(self, request: SignedIn, pk: str) -> Response:
        user = users.unlock(self.other(pk, "users.change"), actor=request.user)
        return Response(UserSerializer(user).data)

    @operation("Mail a user a reset link", success=(202, DetailSerializer), refusals=[*REFUSALS, "throttled"])
    @action(detail=True, methods=["post"], url_path="password-reset")
    def password_reset(self, request: SignedIn, pk: str) -> Response:
        users.send_password_reset(self.other(pk, "users.change"), actor=request.user)
        return a_mail_is_on_its_way()
