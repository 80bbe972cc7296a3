"""Shows and changes roles."""

from functools import cached_property
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from accounts import roles
from accounts.api.base import AuthenticatedRequest, created, read_input
from accounts.api.input_fields import PermissionField, StrictCharField
from accounts.api.schema import AUTHENTICATION_ERRORS, operation
from accounts.api.serializers import RoleSerializer
from accounts.api.user_scoped import PaginatedViewSet
from accounts.models import Role, Session
from accounts.models.role import MfaPolicy
from accounts.permissions import PERMISSIONS_LENGTH, PERMISSIONS_PER_ROLE, ROLE_NAME_LENGTH, validate_role_name

ERRORS = (*AUTHENTICATION_ERRORS, "permission_denied")
EXAMPLE = {
    "name": "support",
    "description": "Answers tickets",
    "permissions": ["users.view", "billing.refund"],
    "mfa": "required",
}
ANSWER = {**EXAMPLE, "is_builtin": False}


class RoleInput(serializers.Serializer[Any]):
    name = StrictCharField(max_length=ROLE_NAME_LENGTH, validators=[validate_role_name])
    description = StrictCharField(max_length=250, required=False, allow_blank=True)
    permissions = serializers.ListField(
        child=PermissionField(),
        max_length=PERMISSIONS_PER_ROLE,
        required=False,
        help_text=(
            f"At most {PERMISSIONS_LENGTH} characters in total, plus 3 for each permission, so that access tokens "
            "stay under 4 KB. The default role cannot hold permissions of UserManager itself (`conflict`)."
        ),
    )
    mfa = serializers.ChoiceField(
        choices=MfaPolicy.choices,
        required=False,
        help_text="Whether the users of the role need a second factor. `off`: none of them can add one; a user who has "
        "one is still asked for it. To change it takes a fresh login.",
    )


class RoleViewSet(PaginatedViewSet):
    queryset = Role.objects.all()
    serializer_class = RoleSerializer
    filter_backends = ()
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    needs: ClassVar[dict[str, str]] = {"GET": "roles.view"} | dict.fromkeys(
        ("POST", "PUT", "PATCH", "DELETE"), "roles.change"
    )

    def needs_fresh_login(self, session: Session) -> bool:
        """Returns whether the request changes the policy for second factors."""
        given = self.request.data if self.request.method in ("POST", "PUT", "PATCH") else None
        if not isinstance(given, dict) or "mfa" not in given:
            return False
        current = self.role.mfa if "name" in self.kwargs else MfaPolicy.OPTIONAL
        return bool(given["mfa"] != current)

    @cached_property
    def role(self) -> Role:
        """The role that the path names. It is read once, so that roles.update() compares with what was checked."""
        return _find_role(self.kwargs["name"])

    @operation(
        "List roles",
        permission="roles.view",
        success=(200, RoleSerializer(many=True)),
        errors=[*ERRORS, "validation_error"],
        response_example=ANSWER,
    )
    def list(self, request: AuthenticatedRequest) -> Response:
        return self.paginated_response(self.get_queryset(), RoleSerializer)

    @operation(
        "Create a role",
        description="With `mfa` other than `optional`, it needs a fresh login.",
        permission="roles.change",
        request=RoleInput,
        success=(201, RoleSerializer),
        errors=[*ERRORS, "fresh_login_required"],
        request_example=EXAMPLE,
        response_example=ANSWER,
    )
    def create(self, request: AuthenticatedRequest) -> Response:
        data = read_input(RoleInput, request)
        role = roles.create(data.pop("name"), data.pop("permissions", []), actor=request.user, **data)
        return created(RoleSerializer.show(role), f"roles/{role.name}/")

    @operation(
        "See a role",
        permission="roles.view",
        success=(200, RoleSerializer),
        errors=[*ERRORS, "not_found"],
        response_example=ANSWER,
    )
    def retrieve(self, request: AuthenticatedRequest, name: str) -> Response:
        return Response(RoleSerializer.show(self.role))

    @operation(
        "Update a role",
        description="`name` is required. Omitted fields keep their values. Changing the default role, or a role that "
        "is assigned to a user, also requires `roles.assign`. When a role gains permissions, links emailed earlier "
        "stop working. Of the role `admin`, only `mfa` can be changed, which needs a fresh login.",
        permission="roles.change",
        request=RoleInput,
        success=(200, RoleSerializer),
        errors=[*ERRORS, "fresh_login_required", "not_found", "conflict"],
        request_example=EXAMPLE,
        response_example=ANSWER,
    )
    def update(self, request: AuthenticatedRequest, name: str) -> Response:
        role = roles.update(self.role, actor=request.user, **read_input(RoleInput, request))
        return Response(RoleSerializer.show(role))

    @operation(
        "Change a role",
        description="Changing the default role, or a role that is assigned to a user, also requires `roles.assign`. "
        "When a role gains permissions, links emailed earlier stop working. Of the role `admin`, only `mfa` can be "
        "changed, which needs a fresh login.",
        permission="roles.change",
        request=RoleInput(partial=True),
        success=(200, RoleSerializer),
        errors=[*ERRORS, "fresh_login_required", "not_found", "conflict"],
        request_example={"permissions": ["users.view"]},
        response_example=ANSWER,
    )
    def partial_update(self, request: AuthenticatedRequest, name: str) -> Response:
        role = roles.update(self.role, actor=request.user, **read_input(RoleInput, request, partial=True))
        return Response(RoleSerializer.show(role))

    @operation("Remove a role", permission="roles.change", errors=[*ERRORS, "not_found", "conflict"])
    def destroy(self, request: AuthenticatedRequest, name: str) -> Response:
        roles.delete(self.role, actor=request.user)
        return Response(status=204)


def _find_role(name: str) -> Role:
    role = Role.objects.filter(name=name).first() if "\0" not in name else None
    if role is None:
        raise NotFound
    return role
