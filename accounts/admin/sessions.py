"""Sessions in the panel: to be seen, and ended."""

from ipaddress import ip_address
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import CharField, F, QuerySet, Value
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import users
from accounts.admin import words
from accounts.admin.base import PanelModelAdmin, actor_of, holds, sees_people
from accounts.admin.devices import device
from accounts.errors import AccountError
from accounts.models import Session, User


class IsAlive(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "alive"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("alive"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset & Session.objects.alive() if self.value() == "yes" else queryset


@admin.register(Session)
class SessionAdmin(PanelModelAdmin):
    needs: ClassVar[dict[str, str]] = {"view": "sessions.view"}
    list_display = ("opened", "owner", "device", "ip", "used", "state")
    list_display_links = ("opened",)
    list_filter = (IsAlive,)
    search_fields = ("ip",)
    search_help_text = _("The whole address of a user, or the IP address of a device.")
    actions = ("end",)
    fields = ("owner", "device", "ip", "user_agent", "created_at", "last_used_at", "ends_at", "revoked_at")
    readonly_fields = ("owner", "device", "ends_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        email = F("user__email") if sees_people(request) else Value(None, output_field=CharField())
        found: QuerySet[Session] = super().get_queryset(request).annotate(email=email)
        return found

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        if not sees_people(request):
            found.search_help_text = gettext("The IP address of a device.")
        return found

    @admin.action(description=_("End the chosen sessions"), permissions=["revoke"])
    def end(self, request: HttpRequest, chosen: QuerySet[Session]) -> None:
        ended, refusals = 0, []
        for session in chosen.select_related("user"):
            try:
                users.revoke_session(session.user, session, actor=actor_of(request))
                ended += 1
            except AccountError as refusal:
                who = session.user.email if sees_people(request) else session.user_id
                refusals.append(f"{who}: {refusal.detail}")
        self.tell_refusals(request, refusals)
        self.message_user(request, ngettext("%d session ended.", "%d sessions ended.", ended) % ended)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return holds(request, "sessions.revoke")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if sees_people(request) and (user := User.objects.with_address(term)):
            return queryset.filter(user=user), False
        ip = _ip(term)
        return (queryset.filter(ip=ip) if ip else queryset.none()), False

    @admin.display(description=_("device"))
    def device(self, session: Session) -> str:
        return device(session.user_agent)

    @admin.display(description=_("signed in"), ordering="id")
    def opened(self, session: Session) -> str:
        return words.moment(session.created_at)

    @admin.display(description=_("user"))
    def owner(self, session: Any) -> str:
        return words.person(session.email, session.user_id)

    @admin.display(description=_("last used"))
    def used(self, session: Session) -> str:
        return words.moment(session.last_used_at)

    @admin.display(description=_("state"))
    def state(self, session: Session) -> SafeString:
        return words.badge(_("alive"), "good") if session.is_alive else words.badge(_("ended"))

    @admin.display(description=_("ends"))
    def ends_at(self, session: Session) -> str:
        return words.moment(session.ends_at)


def _ip(term: str) -> str | None:
    try:
        return str(ip_address(term))
    except ValueError:
        return None
