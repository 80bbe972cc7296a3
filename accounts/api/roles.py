"""Roles."""

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from accounts import role_changes
from accounts.api.base import SignedIn, read
from accounts.api.fields import PermissionField, TextField
from accounts.api.outputs import RoleSerializer
from accounts.api.people import Listing
from accounts.api.schema import SIGNED_IN, operation
from accounts.models import Role
from accounts.roles import NAME_LENGTH, PERMISSIONS_LENGTH, PERMISSIONS_PER_ROLE, validate_name

REFUSALS = (*SIGNED_IN, "permission_denied")
EXAMPLE = {"name": "support", "description": "Answers tickets", "permissions": ["users.view", "billing.refund"]}
ANSWER = {**EXAMPLE, "is_builtin": False}


class RoleInput(serializers.Serializer[Any]):
    name = TextField(max_length=NAME_LENGTH, validators=[validate_name])
    description = TextField(max_length=250, required=False, allow_blank=True)
    permissions = serializers.ListField(
        child=PermissionField(),
        max_length=PERMISSIONS_PER_ROLE,
        required=False,
        help_text=(
            f"At most {PERMISSIONS_LENGTH} characters in all, counting 3 more for each permission: access tokens "
            "stay under 4 KB. The default role cannot hold permissions of UserManager itself (`conflict`)."
        ),
    )


class RoleViewSet(Listing):
    queryset = Role.objects.all()
    serializer_class = RoleSerializer
    filter_backends = ()
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    needs: ClassVar[dict[str, str]] = {"GET": "roles.view"} | dict.fromkeys(
        ("POST", "PUT", "PATCH", "DELETE"), "roles.change"
    )

    @operation(
        "List roles",
        success=(200, RoleSerializer(many=True)),
        refusals=[*REFUSALS, "validation_error"],
        answer=ANSWER,
    )
    def list(self, request: SignedIn) -> Response:
        return self.page_of(self.get_queryset(), RoleSerializer)

    @operation(
        "Create a role",
        request=RoleInput,
        success=(201, RoleSerializer),
        refusals=REFUSALS,
        example=EXAMPLE,
        answer=ANSWER,
    )
    def create(self, request: SignedIn) -> Response:
        data = read(RoleInput, request)
        role = role_changes.create(data.pop("name"), data.pop("permissions", []), actor=request.user, **data)
        return Response(RoleSerializer(role).data, 201)

    @operation("See a role", success=(200, RoleSerializer), refusals=[*REFUSALS, "not_found"], answer=ANSWER)
    def retrieve(self, request: SignedIn, name: str) -> Response:
        return Response(RoleSerializer(_role(name)).data)

    @operation(
        "Update a role",
        description="The name is required; a field that is not sent stays as it is. "
        "A role that a user has, and the default role, take `roles.assign`, too. Links mailed before a role gained "
        "permissions stop working.",
        request=RoleInput,
        success=(200, RoleSerializer),
        refusals=[*REFUSALS, "not_found", "conflict"],
        example=EXAMPLE,
        answer=ANSWER,
    )
    def update(self, request: SignedIn, name: str) -> Response:
        role = role_changes.update(_role(name), actor=request.user, **read(RoleInput, request))
        return Response(RoleSerializer(role).data)

    @operation(
        "Change a role",
        description="A role that a user has, and the default role, take `roles.assign`, too. "
        "Links mailed before a role gained permissions stop working.",
        request=RoleInput(partial=True),
        success=(200, RoleSerializer),
        refusals=[*REFUSALS, "not_found", "conflict"],
        example={"permissions": ["users.view"]},
        answer=ANSWER,
    )
    def partial_update(self, request: SignedIn, name: str) -> Response:
        role = role_changes.update(_role(name), actor=request.user, **read(RoleInput, request, partial=True))
        return Response(RoleSerializer(role).data)

    @operation("Remove a role", refusals=[*REFUSALS, "not_found", "conflict"])
    def destroy(self, request: SignedIn, name: str) -> Response:
        role_changes.delete(_role(name), actor=request.user)
        return Response(status=204)


def _role(name: str) -> Role:
    role = Role.objects.filter(name=name).first() if "\0" not in name else None
    if role is None:
        raise NotFound
    return role
