"""Lists audit events."""

from typing import ClassVar

from rest_framework.response import Response

from accounts.api.base import AuthenticatedRequest
from accounts.api.schema import AUTHENTICATION_ERRORS, EVENT_EXAMPLE, operation
from accounts.api.serializers import AuditEventSerializer
from accounts.api.user_scoped import UserScopedViewSet
from accounts.listing.filters import AuditFilter
from accounts.models import AuditEvent


class AuditViewSet(UserScopedViewSet):
    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventSerializer
    filterset_class = AuditFilter
    needs: ClassVar[dict[str, str]] = {"list": "audit.view"}

    @operation(
        "List audit events",
        permission="audit.view",
        success=(200, AuditEventSerializer(many=True)),
        errors=[*AUTHENTICATION_ERRORS, "permission_denied", "validation_error"],
        response_example=EVENT_EXAMPLE,
    )
    def list(self, request: AuthenticatedRequest) -> Response:
        return self.paginated_response(self.filter_queryset(self.get_queryset()), AuditEventSerializer)


class UserAuditViewSet(UserScopedViewSet):
    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventSerializer
    filterset_class = AuditFilter

    @operation(
        "List the audit events of a user",
        permission="audit.view",
        is_open_to_owner=True,
        description="Without `audit.view`, `ip` is null and `user_agent` empty in events that another user caused.",
        success=(200, AuditEventSerializer(many=True)),
        errors=[*AUTHENTICATION_ERRORS, "permission_denied", "not_found", "validation_error"],
        response_example=EVENT_EXAMPLE,
    )
    def list(self, request: AuthenticatedRequest, pk: str) -> Response:
        events = self.get_queryset().filter(user_id=self.get_self_or_user(pk, "audit.view").pk)
        return self.paginated_response(self.filter_queryset(events), AuditEventSerializer)
