"""Lists and ends the sessions of a user."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from accounts import users
from accounts.api.base import AuthenticatedRequest
from accounts.api.schema import AUTHENTICATION_ERRORS, SESSION_EXAMPLE, operation
from accounts.api.serializers import SessionSerializer
from accounts.api.user_scoped import UserScopedViewSet, parse_uuid
from accounts.models import Session

ERRORS = (*AUTHENTICATION_ERRORS, "permission_denied", "not_found")


class SessionViewSet(UserScopedViewSet):
    queryset = Session.objects.all()
    serializer_class = SessionSerializer
    filter_backends = ()

    @operation(
        "List the sessions of a user",
        permission="sessions.view",
        is_open_to_owner=True,
        success=(200, SessionSerializer(many=True)),
        errors=[*ERRORS, "validation_error"],
        response_example=SESSION_EXAMPLE,
    )
    def list(self, request: AuthenticatedRequest, pk: str) -> Response:
        user = self.get_self_or_user(pk, "sessions.view")
        return self.paginated_response(Session.objects.active().filter(user=user), SessionSerializer)

    @operation(
        "End a session",
        permission="sessions.revoke",
        is_open_to_owner=True,
        errors=[*ERRORS, "throttled"],
        parameters=[OpenApiParameter("session_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
    )
    def destroy(self, request: AuthenticatedRequest, pk: str, session_id: str) -> Response:
        user, session_pk = self.get_self_or_user(pk, "sessions.revoke"), parse_uuid(session_id)
        session = Session.objects.active().filter(user=user, pk=session_pk).first() if session_pk else None
        if session is None:
            raise NotFound
        users.revoke_session(user, session, actor=request.user)
        return Response(status=204)

    @operation(
        "End all sessions of a user",
        permission="sessions.revoke",
        is_open_to_owner=True,
        errors=[*ERRORS, "throttled"],
    )
    def destroy_all(self, request: AuthenticatedRequest, pk: str) -> Response:
        users.revoke_sessions(self.get_self_or_user(pk, "sessions.revoke"), actor=request.user)
        return Response(status=204)
