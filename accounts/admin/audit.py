"""The audit trail in the panel: to be read, and by nobody to be changed."""

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
from accounts.admin import history, words
from accounts.admin.base import PanelModelAdmin, sees_people
from accounts.admin.days import DayFilter
from accounts.models import AuditEvent, User


class KindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(kind, words.event(kind)) for kind in audit.KINDS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() in audit.KINDS else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(PanelModelAdmin):
    needs: ClassVar[dict[str, str]] = {"view": "audit.view"}
    list_display = ("when", "what", "about", "by", "summary", "place")
    list_display_links = None
    fields = ("when", "kind", "what", "about", "by", "ip", "user_agent", "request_id", "recorded")
    readonly_fields = ("when", "what", "about", "by", "recorded")
    list_filter = (KindFilter, DayFilter)
    search_fields = ("request_id",)
    search_help_text = _("The whole address or the id of a user, or the id of a request.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        return history.with_addresses(super().get_queryset(request), request)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        if not sees_people(request):
            found.search_help_text = gettext("The id of a user or of a request.")
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        user_id = _user_id(term, may_ask=sees_people(request))
        if user_id is None:
            return queryset.filter(request_id=term), False
        return queryset.filter(Q(user_id=user_id) | Q(actor_id=user_id)), False

    @admin.display(description=_("time"), ordering="id")
    def when(self, event: AuditEvent) -> str:
        return words.moment(event.created_at)

    @admin.display(description=_("what"))
    def what(self, event: AuditEvent) -> SafeString:
        page = reverse("admin:accounts_auditevent_change", args=[event.pk])
        return format_html('<a href="{}" title="{}">{}</a>', page, event.kind, words.event(event.kind))

    @admin.display(description=_("user"))
    def about(self, event: Any) -> str:
        return words.person(event.user_email, event.user_id)

    @admin.display(description=_("by"))
    def by(self, event: Any) -> str:
        return words.person(event.actor_email, event.actor_id)

    @admin.display(description=_("details"))
    def summary(self, event: AuditEvent) -> str:
        return words.details(event.data)

    @admin.display(description=_("details"))
    def recorded(self, event: AuditEvent) -> str:
        return json.dumps(audit.ordered(event.data), ensure_ascii=False)

    @admin.display(description=_("from"))
    def place(self, event: AuditEvent) -> str:
        return history.place(event)


def _user_id(term: str, *, may_ask: bool) -> UUID | None:
    """Whom an id means, or an address: whether a user has it, only those learn who may see users."""
    if may_ask and (user := User.objects.with_address(term)):
        return user.pk
    try:
        return UUID(term)
    except ValueError:
        return None
