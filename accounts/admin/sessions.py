"""Sessions in the panel: the list, and the action that ends them."""

from ipaddress import ip_address
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import CharField, F, QuerySet, Value
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import users
from accounts.admin import formatting
from accounts.admin.base import PanelModelAdmin, get_actor, has_permission, may_see_users
from accounts.admin.user_agents import device_name
from accounts.errors import AccountError
from accounts.models import Session, User


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "alive"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("open"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset & Session.objects.active() if self.value() == "yes" else queryset


@admin.register(Session)
class SessionAdmin(PanelModelAdmin):
    required_permissions: ClassVar[dict[str, str]] = {"view": "sessions.view"}
    list_display = ("opened", "owner", "device", "ip", "used", "state")
    list_display_links = ("opened",)
    list_filter = (StateFilter,)
    search_fields = ("ip",)
    search_help_text = _("A user's complete email address, or an IP address.")
    actions = ("end",)
    fields = ("owner", "device", "ip", "user_agent", "level", "created_at", "last_used_at", "ends_at", "revoked_at")
    readonly_fields = ("owner", "device", "level", "ends_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        email = F("user__email") if may_see_users(request) else Value(None, output_field=CharField())
        found: QuerySet[Session] = super().get_queryset(request).annotate(email=email)
        return found

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        if not may_see_users(request):
            found.search_help_text = gettext("An IP address.")
        return found

    @admin.action(description=_("End selected sessions"), permissions=["revoke"])
    def end(self, request: HttpRequest, chosen: QuerySet[Session]) -> None:
        ended, errors = 0, []
        for session in chosen.select_related("user"):
            try:
                users.revoke_session(session.user, session, actor=get_actor(request))
                ended += 1
            except AccountError as error:
                name = session.user.email if may_see_users(request) else session.user_id
                errors.append(f"{name}: {error.detail}")
        self.show_errors(request, errors)
        self.message_user(request, ngettext("%d session ended.", "%d sessions ended.", ended) % ended)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "sessions.revoke")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if may_see_users(request) and (user := User.objects.find_by_email(term)):
            return queryset.filter(user=user), False
        try:
            ip = str(ip_address(term))
        except ValueError:
            return queryset.none(), False
        return queryset.filter(ip=ip), False

    @admin.display(description=_("device"))
    def device(self, session: Session) -> str:
        return device_name(session.user_agent)

    @admin.display(description=_("logged in"), ordering="id")
    def opened(self, session: Session) -> str:
        return formatting.relative_time(session.created_at)

    @admin.display(description=_("user"))
    def owner(self, session: Any) -> str:
        return formatting.user_link(session.email, session.user_id)

    @admin.display(description=_("last used"))
    def used(self, session: Session) -> str:
        return formatting.relative_time(session.last_used_at)

    @admin.display(description=_("state"))
    def state(self, session: Session) -> SafeString:
        return formatting.badge(_("open"), "good") if session.is_active else formatting.badge(_("ended"))

    @admin.display(description=_("level"))
    def level(self, session: Session) -> str:
        return f"{session.acr} ({', '.join(session.methods)})"

    @admin.display(description=_("expires"))
    def ends_at(self, session: Session) -> str:
        return formatting.relative_time(session.ends_at)
