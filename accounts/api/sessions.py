"""The sessions of a user."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from accounts import users
from accounts.api.base import SignedIn
from accounts.api.outputs import SessionSerializer
from accounts.api.people import OfPeople, as_uuid
from accounts.api.schema import SESSION_EXAMPLE, SIGNED_IN, operation
from accounts.models import Session

REFUSALS = (*SIGNED_IN, "permission_denied", "not_found")


class SessionViewSet(OfPeople):
    queryset = Session.objects.all()
    serializer_class = SessionSerializer
    filter_backends = ()

    @operation(
        "List the sessions of a user",
        success=(200, SessionSerializer(many=True)),
        refusals=[*REFUSALS, "validation_error"],
        answer=SESSION_EXAMPLE,
    )
    def list(self, request: SignedIn, pk: str) -> Response:
        user = self.person(pk, "sessions.view")
        return self.page_of(Session.objects.alive().filter(user=user), SessionSerializer)

    @operation(
        "End a session",
        refusals=[*REFUSALS, "throttled"],
        parameters=[OpenApiParameter("session_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
    )
    def destroy(self, request: SignedIn, pk: str, session_id: str) -> Response:
        user, wanted = self.person(pk, "sessions.revoke"), as_uuid(session_id)
        session = Session.objects.alive().filter(user=user, pk=wanted).first() if wanted else None
        if session is None:
            raise NotFound
        users.revoke_session(user, session, actor=request.user)
        return Response(status=204)

    @operation("End all sessions of a user", refusals=[*REFUSALS, "throttled"])
    def destroy_all(self, request: SignedIn, pk: str) -> Response:
        users.revoke_sessions(self.person(pk, "sessions.revoke"), actor=request.user)
        return Response(status=204)
