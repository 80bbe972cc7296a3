"""Lists, creates, changes and deletes users, for administrators."""

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from accounts import users
from accounts.api.base import AuthenticatedRequest, created, email_sent, read_input
from accounts.api.input_fields import (
    AddressField,
    FullNameField,
    LocaleField,
    MetadataField,
    NewPasswordField,
    RoleField,
    StrictBooleanField,
)
from accounts.api.me import OwnChanges
from accounts.api.schema import AUTHENTICATION_ERRORS, USER_EXAMPLE, operation
from accounts.api.serializers import DetailSerializer, UserSerializer
from accounts.api.user_scoped import UserScopedViewSet
from accounts.listing.filters import USER_ORDERINGS, UserFilter
from accounts.models import Session, User

ERRORS = (*AUTHENTICATION_ERRORS, "permission_denied", "not_found")
ADDRESS_FIELDS = {"email", "email_verified"}
FRESH = "`email` and `email_verified` of one's own account: a user with a second factor needs a fresh login."


class UserChanges(serializers.Serializer[Any]):
    email = AddressField()
    full_name = FullNameField()
    role = RoleField(required=False)
    is_active = StrictBooleanField(required=False)
    email_verified = StrictBooleanField(required=False)
    locale = LocaleField()
    metadata = MetadataField(required=False)


class UserInput(UserChanges):
    password = NewPasswordField(required=False)


CHANGES_EXAMPLE = {"email": "ana@example.com", "full_name": "Ana", "role": "user", "metadata": {"plan": "pro"}}


class UserViewSet(UserScopedViewSet):
    queryset = User.objects.select_related("role")
    serializer_class = UserSerializer
    filterset_class = UserFilter
    orderings: ClassVar[dict[str, str]] = USER_ORDERINGS
    needs: ClassVar[dict[str, str]] = {"list": "users.view", "create": "users.add"}

    def needs_fresh_login(self, session: Session) -> bool:
        """Returns whether a user with a second factor deletes their own account or changes its address, as
        `users/me/` and `auth/email/change/` ask for."""
        if not session.user.mfa_enabled or not self.is_own(self.kwargs.get("pk", "")):
            return False
        if self.request.method in ("PUT", "PATCH"):
            return isinstance(self.request.data, dict) and bool(ADDRESS_FIELDS & self.request.data.keys())
        return self.request.method == "DELETE"

    @operation(
        "List users",
        permission="users.view",
        success=(200, UserSerializer(many=True)),
        errors=[*AUTHENTICATION_ERRORS, "permission_denied", "validation_error"],
        response_example=USER_EXAMPLE,
    )
    def list(self, request: AuthenticatedRequest) -> Response:
        return self.paginated_response(self.filter_queryset(self.get_queryset()), UserSerializer)

    @operation(
        "Create or invite a user",
        permission="users.add",
        description="Without a password, the user gets an email with a link to choose one.",
        request=UserInput,
        success=(201, UserSerializer),
        errors=[*AUTHENTICATION_ERRORS, "permission_denied", "throttled", "overloaded"],
        request_example=CHANGES_EXAMPLE,
        response_example=USER_EXAMPLE,
    )
    def create(self, request: AuthenticatedRequest) -> Response:
        user = users.create(actor=request.user, **read_input(UserInput, request))
        return created(UserSerializer.show(user), f"users/{user.pk}/")

    @operation(
        "See a user",
        permission="users.view",
        is_open_to_owner=True,
        success=(200, UserSerializer),
        errors=ERRORS,
        response_example=USER_EXAMPLE,
    )
    def retrieve(self, request: AuthenticatedRequest, pk: str) -> Response:
        return Response(UserSerializer.show(self.get_self_or_user(pk, "users.view")))

    @operation(
        "Update a user",
        permission="users.change",
        is_open_to_owner=True,
        description="`email` is required. Omitted fields keep their values. A new address ends the user's sessions. "
        f"A new role with permissions invalidates links emailed earlier. {FRESH}",
        request=UserChanges,
        success=(200, UserSerializer),
        errors=[*ERRORS, "fresh_login_required", "last_admin", "throttled"],
        request_example=CHANGES_EXAMPLE,
        response_example=USER_EXAMPLE,
    )
    def update(self, request: AuthenticatedRequest, pk: str) -> Response:
        return self._change(request, pk, partial=False)

    @operation(
        "Change a user",
        permission="users.change",
        is_open_to_owner=True,
        description="A new address ends the user's sessions. A new role with permissions invalidates links emailed "
        f"earlier. {FRESH}",
        request=UserChanges(partial=True),
        success=(200, UserSerializer),
        errors=[*ERRORS, "fresh_login_required", "last_admin", "throttled"],
        request_example={"full_name": "Ana García"},
        response_example=USER_EXAMPLE,
    )
    def partial_update(self, request: AuthenticatedRequest, pk: str) -> Response:
        return self._change(request, pk, partial=True)

    def _change(self, request: AuthenticatedRequest, pk: str, *, partial: bool) -> Response:
        """Applies all fields if the caller may change users; otherwise only those of the caller's own account."""
        user = self.get_self_or_user(pk, "users.change")
        changes = UserChanges if request.user.has_perm("users.change") else OwnChanges
        user = users.update(user, actor=request.user, **read_input(changes, request, partial=partial))
        return Response(UserSerializer.show(user))

    @operation(
        "Delete a user",
        permission="users.delete",
        description="One's own account: a user with a second factor needs a fresh login.",
        errors=[*ERRORS, "fresh_login_required", "last_admin"],
    )
    def destroy(self, request: AuthenticatedRequest, pk: str) -> Response:
        users.delete(self.get_user(pk, "users.delete"), actor=request.user)
        return Response(status=204)

    @operation(
        "Unlock a user after failed logins",
        permission="users.change",
        operation_id="forget_failed_logins_of_a_user",
        description="Resets the limits of failed logins and, unless it is the caller's own account, those of the "
        "second factor: five times a day per user.",
        success=(200, UserSerializer),
        errors=[*ERRORS, "throttled"],
        response_example=USER_EXAMPLE,
    )
    @action(detail=True, methods=["post"])
    def unlock(self, request: AuthenticatedRequest, pk: str) -> Response:
        user = users.unlock(self.get_user(pk, "users.change"), actor=request.user)
        return Response(UserSerializer.show(user))

    @operation(
        "Send a user a reset link",
        permission="users.change",
        operation_id="mail_a_user_a_reset_link",
        success=(202, DetailSerializer),
        errors=[*ERRORS, "throttled"],
    )
    @action(detail=True, methods=["post"], url_path="password-reset")
    def password_reset(self, request: AuthenticatedRequest, pk: str) -> Response:
        users.send_password_reset(self.get_user(pk, "users.change"), actor=request.user)
        return email_sent()
