"""The audit trail in the panel, read-only."""

import json
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.admin import formatting, recent_events
from accounts.admin.base import PanelModelAdmin, may_see_users
from accounts.admin.day_filter import DayFilter
from accounts.models import AuditEvent, User


class KindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(kind, formatting.event_label(kind)) for kind in audit.KINDS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() in audit.KINDS else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(PanelModelAdmin):
    required_permissions: ClassVar[dict[str, str]] = {"view": "audit.view"}
    list_display = ("created", "kind_link", "user_link", "actor_link", "summary", "client")
    list_display_links = None
    fields = ("created", "kind", "kind_link", "user_link", "actor_link", "ip", "user_agent", "request_id", "all_data")
    readonly_fields = ("created", "kind_link", "user_link", "actor_link", "all_data")
    list_filter = (KindFilter, DayFilter)
    search_fields = ("request_id",)
    search_help_text = _("A complete email address, a user ID or a request ID.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        return recent_events.annotate_addresses(super().get_queryset(request), request)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        if not may_see_users(request):
            found.search_help_text = gettext("A user ID or a request ID.")
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        user_id = _user_id(term, may_see_users=may_see_users(request))
        if user_id is None:
            return queryset.filter(request_id=term), False
        return queryset.filter(Q(user_id=user_id) | Q(actor_id=user_id)), False

    @admin.display(description=_("time"), ordering="id")
    def created(self, event: AuditEvent) -> str:
        return formatting.relative_time(event.created_at)

    @admin.display(description=_("event"))
    def kind_link(self, event: AuditEvent) -> SafeString:
        page = reverse("admin:accounts_auditevent_change", args=[event.pk])
        return format_html('<a href="{}" title="{}">{}</a>', page, event.kind, formatting.event_label(event.kind))

    @admin.display(description=_("user"))
    def user_link(self, event: Any) -> str:
        return formatting.user_link(event.user_email, event.user_id)

    @admin.display(description=_("by"))
    def actor_link(self, event: Any) -> str:
        return formatting.user_link(event.actor_email, event.actor_id)

    @admin.display(description=_("details"))
    def summary(self, event: AuditEvent) -> str:
        return formatting.event_details(event.data)

    @admin.display(description=_("details"))
    def all_data(self, event: AuditEvent) -> str:
        return json.dumps(audit.ordered(event.data), ensure_ascii=False)

    @admin.display(description=_("from"))
    def client(self, event: AuditEvent) -> str:
        return recent_events.client(event)


def _user_id(term: str, *, may_see_users: bool) -> UUID | None:
    """Returns the id of the user with this id or address; looks an address up only for actors who may see users."""
    if may_see_users and (user := User.objects.find_by_email(term)):
        return user.pk
    try:
        return UUID(term)
    except ValueError:
        return None
