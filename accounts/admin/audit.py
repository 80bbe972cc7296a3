"""The audit trail in the panel: to be read, and by nobody to be changed."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.admin.base import PanelModelAdmin
from accounts.models import AuditEvent, User


class KindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(kind, kind) for kind in audit.KINDS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() in audit.KINDS else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(PanelModelAdmin):
    needs: ClassVar[dict[str, str]] = {"view": "audit.view"}
    list_display = ("created_at", "kind", "about", "by", "ip", "data")
    list_filter = (KindFilter,)
    search_fields = ("request_id",)
    search_help_text = _("The whole address or the id of a user, or the id of a request.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        """With the addresses of those who still exist; events themselves name ids alone."""
        events: QuerySet[AuditEvent] = super().get_queryset(request)
        return events.annotate(user_email=_address_of("user_id"), actor_email=_address_of("actor_id"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        user_id = _user_id(term)
        if user_id is None:
            return queryset.filter(request_id=term), False
        return queryset.filter(Q(user_id=user_id) | Q(actor_id=user_id)), False

    @admin.display(description=_("user"))
    def about(self, event: Any) -> str:
        return event.user_email or event.user_id or "–"

    @admin.display(description=_("by"))
    def by(self, event: Any) -> str:
        return event.actor_email or event.actor_id or "–"


def _address_of(column: str) -> Subquery:
    return Subquery(User.objects.filter(pk=OuterRef(column)).values("email")[:1])


def _user_id(term: str) -> UUID | None:
    if user := User.objects.with_address(term):
        return user.pk
    try:
        return UUID(term)
    except ValueError:
        return None
