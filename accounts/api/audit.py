"""The audit trail."""

from typing import ClassVar

from django_filters import rest_framework as filters
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.filters import TimeFilter
from accounts.api.people import OfPeople
from accounts.api.schema import SIGNED_IN, operation
from accounts.api.shapes import AuditEventShape
from accounts.audit import KINDS
from accounts.models import AuditEvent

DESCRIPTION = "Kinds:\n\n" + "\n".join(f"- `{kind}` {meaning}" for kind, meaning in KINDS.items())


class AuditFilter(filters.FilterSet):
    kind = filters.ChoiceFilter(choices=[(kind, kind) for kind in KINDS])
    user = filters.UUIDFilter(field_name="user_id")
    actor = filters.UUIDFilter(field_name="actor_id")
    after = TimeFilter(field_name="created_at", lookup_expr="gt")
    before = TimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = AuditEvent
        fields: ClassVar[list[str]] = []


class AuditViewSet(OfPeople):
    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventShape
    filterset_class = AuditFilter
    needs: ClassVar[dict[str, str]] = {"list": "audit.view"}

    @operation(
        "List audit events",
        description=DESCRIPTION,
        success=(200, AuditEventShape(many=True)),
        refusals=[*SIGNED_IN, "permission_denied", "validation_error"],
    )
    def list(self, request: Request) -> Response:
        return self.page_of(self.filter_queryset(self.get_queryset()), AuditEventShape)

    @operation(
        "List the audit events of a user",
        success=(200, AuditEventShape(many=True)),
        refusals=[*SIGNED_IN, "permission_denied", "not_found", "validation_error"],
    )
    def of_user(self, request: Request, pk: str) -> Response:
        user = self.person(pk, "audit.view")
        events = self.get_queryset().filter(user_id=user.pk)
        return self.page_of(self.filter_queryset(events), AuditEventShape)
