"""Lists, renames, removes and resets second factors, and makes new recovery codes."""

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from accounts import factor_changes, validators
from accounts.api.base import ApiView, AuthenticatedRequest, read_input
from accounts.api.enrolment import RECOVERY_CODES_EXAMPLE
from accounts.api.input_fields import StrictBooleanField, StrictCharField
from accounts.api.schema import AUTHENTICATION_ERRORS, FACTOR_EXAMPLE, operation
from accounts.api.serializers import FactorSerializer
from accounts.api.user_scoped import UserScopedViewSet, parse_uuid
from accounts.mfa import factors, recovery_codes
from accounts.models import Session, User

FACTOR_ID = [OpenApiParameter("factor_id", OpenApiTypes.UUID, OpenApiParameter.PATH)]


class FactorsSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="Always null: a user has few factors.")
    previous = serializers.CharField(allow_null=True)
    results = FactorSerializer(many=True)
    recovery_codes_left = serializers.IntegerField()


class ResetFactorsInput(serializers.Serializer[Any]):
    reason = StrictCharField(
        max_length=validators.REASON_MAX_LENGTH,
        required=False,
        allow_blank=True,
        validators=[validators.validate_reason],
        help_text="The audit trail keeps it, also after the user is deleted. It must not name people.",
    )
    enrol = StrictBooleanField(
        required=False,
        help_text="Whether the user must add a second factor at the next login, with the password and an emailed link. "
        "True if omitted.",
    )


class FactorViewSet(UserScopedViewSet):
    queryset = User.objects.all()
    filter_backends = ()

    def needs_fresh_login(self, session: Session) -> bool:
        return self.request.method == "DELETE"

    @operation(
        "List the second factors of a user",
        permission="users.view",
        is_open_to_owner=True,
        success=(200, FactorsSerializer),
        errors=[*AUTHENTICATION_ERRORS, "permission_denied", "not_found"],
        response_example={"next": None, "previous": None, "results": [FACTOR_EXAMPLE], "recovery_codes_left": 10},
    )
    def retrieve(self, request: AuthenticatedRequest, pk: str) -> Response:
        user = self.get_self_or_user(pk, "users.view")
        rows, left = factors.of_user(user), recovery_codes.number_left(user)
        body = {"next": None, "previous": None, "results": rows, "recovery_codes_left": left}
        return Response(FactorsSerializer(body).data)

    @operation(
        "Reset the second factors of a user",
        description="Removes all second factors and recovery codes of another user and ends their sessions. Needs a "
        "fresh login. For one's own account the error is `conflict`.",
        permission="mfa.reset",
        request=ResetFactorsInput,
        errors=[*AUTHENTICATION_ERRORS, "fresh_login_required", "permission_denied", "not_found", "conflict"],
        request_example={"reason": "Lost phone", "enrol": True},
    )
    def reset(self, request: AuthenticatedRequest, pk: str) -> Response:
        user = self.get_user(pk, "mfa.reset")
        factor_changes.reset(user, actor=request.user, **read_input(ResetFactorsInput, request))
        return Response(status=204)


class FactorOfUserViewSet(UserScopedViewSet):
    queryset = User.objects.all()
    filter_backends = ()

    @operation(
        "See a second factor of a user",
        permission="users.view",
        is_open_to_owner=True,
        success=(200, FactorSerializer),
        errors=[*AUTHENTICATION_ERRORS, "permission_denied", "not_found"],
        parameters=FACTOR_ID,
        response_example=FACTOR_EXAMPLE,
    )
    def retrieve(self, request: AuthenticatedRequest, pk: str, factor_id: str) -> Response:
        user = self.get_self_or_user(pk, "users.view")
        return Response(FactorSerializer(factors.find(user, _uuid(factor_id))).data)


class RenameFactorInput(serializers.Serializer[Any]):
    name = StrictCharField(max_length=validators.FACTOR_NAME_MAX_LENGTH, validators=[validators.validate_name])


class OwnFactorView(ApiView):
    def needs_fresh_login(self, session: Session) -> bool:
        return self.request.method == "DELETE"

    @operation(
        "See a second factor",
        success=(200, FactorSerializer),
        errors=[*AUTHENTICATION_ERRORS, "not_found"],
        parameters=FACTOR_ID,
        response_example=FACTOR_EXAMPLE,
    )
    def get(self, request: AuthenticatedRequest, factor_id: str) -> Response:
        return Response(FactorSerializer(factors.find(request.user, _uuid(factor_id))).data)

    @operation(
        "Rename a second factor",
        request=RenameFactorInput,
        success=(200, FactorSerializer),
        errors=[*AUTHENTICATION_ERRORS, "not_found", "throttled"],
        parameters=FACTOR_ID,
        request_example={"name": "Work phone"},
        response_example=FACTOR_EXAMPLE | {"name": "Work phone"},
    )
    def patch(self, request: AuthenticatedRequest, factor_id: str) -> Response:
        found = _uuid(factor_id)
        factor = factor_changes.rename(request.user, found, read_input(RenameFactorInput, request)["name"])
        return Response(FactorSerializer(factor).data)

    @operation(
        "Remove a second factor",
        description="Needs a fresh login. Ends the sessions whose last proof was this factor, including the caller's. "
        "With the last factor, the recovery codes and all sessions with a second factor end. For the last factor of a "
        "user whose role requires one, the error is `conflict`.",
        errors=[*AUTHENTICATION_ERRORS, "fresh_login_required", "not_found", "conflict", "throttled"],
        parameters=FACTOR_ID,
    )
    def delete(self, request: AuthenticatedRequest, factor_id: str) -> Response:
        factor_changes.remove(request.user, _uuid(factor_id))
        return Response(status=204)


class RecoveryCodesSerializer(serializers.Serializer[Any]):
    recovery_codes = serializers.ListField(child=serializers.CharField(), help_text="They are not shown again.")


class RecoveryCodesView(ApiView):
    def needs_fresh_login(self, session: Session) -> bool:
        return True

    @operation(
        "Make new recovery codes",
        description="The older codes stop working. Needs a fresh login and a second factor.",
        success=(200, RecoveryCodesSerializer),
        errors=[*AUTHENTICATION_ERRORS, "fresh_login_required", "conflict", "throttled"],
        response_example={"recovery_codes": RECOVERY_CODES_EXAMPLE},
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        return Response({"recovery_codes": factor_changes.make_recovery_codes(request.user)})


def _uuid(text: str) -> UUID:
    """Returns the id in a path. Raises NotFound for text that is none."""
    found = parse_uuid(text)
    if found is None:
        raise NotFound
    return found
