"""The audit trail."""

from typing import ClassVar

from rest_framework.response import Response

from accounts.api.base import SignedIn
from accounts.api.outputs import AuditEventSerializer
from accounts.api.people import OfPeople
from accounts.api.schema import EVENT_EXAMPLE, SIGNED_IN, operation
from accounts.filters import AuditFilter
from accounts.models import AuditEvent


class AuditViewSet(OfPeople):
    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventSerializer
    filterset_class = AuditFilter
    needs: ClassVar[dict[str, str]] = {"list": "audit.view"}

    @operation(
        "List audit events",
        success=(200, AuditEventSerializer(many=True)),
        refusals=[*SIGNED_IN, "permission_denied", "validation_error"],
        answer=EVENT_EXAMPLE,
    )
    def list(self, request: SignedIn) -> Response:
        return self.page_of(self.filter_queryset(self.get_queryset()), AuditEventSerializer)


class UserAuditViewSet(OfPeople):
    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventSerializer
    filterset_class = AuditFilter

    @operation(
        "List the audit events of a user",
        description="Where somebody else acted from, `ip` and `user_agent`, is shown with `audit.view` alone.",
        success=(200, AuditEventSerializer(many=True)),
        refusals=[*SIGNED_IN, "permission_denied", "not_found", "validation_error"],
        answer=EVENT_EXAMPLE,
    )
    def list(self, request: SignedIn, pk: str) -> Response:
        events = self.get_queryset().filter(user_id=self.person(pk, "audit.view").pk)
        return self.page_of(self.filter_queryset(events), AuditEventSerializer)
