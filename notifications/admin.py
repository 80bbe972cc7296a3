"""The outbox in the admin panel: read-only but for two actions, sending again and cancelling."""

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, F, Q, QuerySet, Value
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from accounts.admin import confirmation, formatting
from accounts.admin.actions import Action
from accounts.admin.base import PanelModelAdmin, get_actor, has_permission, may_see_users
from accounts.admin.day_filter import DayFilter
from accounts.email_addresses import canonical_email
from notifications import actions, outbox, panel
from notifications.content import composing, kinds
from notifications.models import OutboxMail, State
from notifications.sending import retries

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

# For the frame with the HTML of an email: it may apply its own styles, and only pages of this site may frame it.
FRAMED = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox",
    "X-Frame-Options": "SAMEORIGIN",
}
FIELDS = (
    *("id", "kind", "reader", "email", "language", "queue", "data", "created_at"),
    *("state", "attempts", "next_attempt_at", "lease_until", "sent_at", "reason"),
)


RETRY: Action[OutboxMail] = Action(
    "retry",
    gettext_lazy("Send again"),
    actions.send_again,
    lambda mail: mail.state in retries.RETRIABLE,
    ngettext_lazy("%d email will be sent again.", "%d emails will be sent again."),
    ngettext_lazy("%d email will be sent again.", "%d emails will be sent again."),
    gettext_lazy("Sends it immediately, with a new link and the full number of attempts."),
    permission="mails.change",
)
CANCEL: Action[OutboxMail] = Action(
    "cancel",
    gettext_lazy("Cancel"),
    actions.cancel,
    lambda mail: mail.state in outbox.UNSENT,
    ngettext_lazy("%d email will be cancelled.", "%d emails will be cancelled."),
    ngettext_lazy("%d email was cancelled.", "%d emails were cancelled."),
    gettext_lazy("Stops it from being sent, unless it is being sent right now. You can send it again later."),
    permission="mails.change",
)
ACTIONS = {action.name: action for action in (RETRY, CANCEL)}

# The quick filters above the list.
QUICK_FILTERS: dict[str, tuple["StrPromise", Q]] = {
    "owed": (gettext_lazy("Pending"), Q(state__in=outbox.UNSENT)),
    "late": (gettext_lazy("Retrying"), Q(state=State.PENDING, attempts__gt=0)),
    "failed": (gettext_lazy("Failed"), Q(state=State.FAILED)),
    "cancelled": (gettext_lazy("Cancelled"), Q(state=State.CANCELLED)),
    "sent": (gettext_lazy("Sent"), Q(state=State.SENT)),
}


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"
    template = "admin/quick_filters.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, label) for name, (label, _condition) in QUICK_FILTERS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(QUICK_FILTERS[value][1]) if (value := self.value()) in QUICK_FILTERS else queryset


class KindFilter(admin.SimpleListFilter):
    """Offers all kinds: finding the kinds in the list would read the whole table."""

    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, kind.label) for name, kind in kinds.KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() in kinds.KINDS else queryset


@admin.register(OutboxMail)
class OutboxMailAdmin(PanelModelAdmin):
    required_permissions: ClassVar[dict[str, str]] = {"view": "mails.view"}
    list_display = ("created", "kind_link", "email", "state_badge", "attempts_made", "next_attempt", "reason")
    list_display_links = None
    list_filter = (StateFilter, DayFilter, KindFilter, "queue")
    search_fields = ("email_key",)
    search_help_text = gettext_lazy("A complete email address, or the ID of an email or a user.")
    fields = FIELDS
    readonly_fields = ("reader",)
    actions = ("retry", "cancel")

    @admin.display(description=gettext_lazy("created"), ordering="id")
    def created(self, mail: OutboxMail) -> str:
        return formatting.relative_time(mail.created_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxMail]:
        """Adds the user's present address, but only with `users.view`: `mails.view` shows where an email went."""
        now = F("user__email") if may_see_users(request) else Value(None, output_field=CharField())
        found: QuerySet[OutboxMail] = super().get_queryset(request).annotate(now=now)
        return found

    @admin.display(description=gettext_lazy("user"))
    def reader(self, mail: Any) -> str:
        return formatting.user_link(mail.now, mail.user_id)

    @admin.display(description=gettext_lazy("kind"))
    def kind_link(self, mail: OutboxMail) -> SafeString:
        return panel.link(mail)

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, mail: OutboxMail) -> SafeString:
        return panel.state(mail)

    @admin.display(description=gettext_lazy("attempts"))
    def attempts_made(self, mail: OutboxMail) -> str:
        return (
            ngettext("%d attempt", "%d attempts", mail.attempts) % mail.attempts if mail.attempts else formatting.EMPTY
        )

    @admin.display(description=gettext_lazy("next attempt"))
    def next_attempt(self, mail: OutboxMail) -> str:
        return formatting.relative_time(mail.next_attempt_at) if mail.state == State.PENDING else formatting.EMPTY

    @admin.display(description=gettext_lazy("last error"))
    def reason(self, mail: OutboxMail) -> str:
        return panel.reason(mail) or formatting.EMPTY

    @admin.action(description=RETRY.label, permissions=["manage"])
    def retry(self, request: HttpRequest, chosen: QuerySet[OutboxMail]) -> HttpResponse | None:
        return self._confirm(request, chosen, RETRY)

    @admin.action(description=CANCEL.label, permissions=["manage"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[OutboxMail]) -> HttpResponse | None:
        return self._confirm(request, chosen, CANCEL)

    def has_manage_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "mails.change")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Lists the newest first; with a state, by the columns of the index on states."""
        return ("-created_at", "-id") if StateFilter.parameter_name in request.GET else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxMail], search_term: str
    ) -> tuple[QuerySet[OutboxMail], bool]:
        term = search_term.strip()
        return (queryset.filter(_matching(term)) if term else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if self.has_view_permission(request) and (why := panel.why_held()):
            self.message_user(request, why, messages.ERROR)
        return super().changelist_view(request, extra_context)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own_urls = [
            path("<uuid:pk>/preview/", wrap(self.preview), name="notifications_outboxmail_preview"),
            path("<uuid:pk>/do/<slug:name>/", wrap(self.perform_action), name="notifications_outboxmail_action"),
        ]
        return own_urls + super().get_urls()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        mail = context["original"]
        offered = ACTIONS.values() if self.has_manage_permission(request) else ()
        context |= {
            "title": panel.kind(mail),
            "subtitle": None,
            "badge": panel.state(mail),
            "reason": panel.reason(mail),
            "content": composing.preview(mail),
            "actions": [action for action in offered if action.is_applicable(mail)],
        }
        return super().render_change_form(request, context, *args, **options)

    def preview(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Returns the HTML of the email, for the frame on its page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        mail = get_object_or_404(OutboxMail.objects.select_related("user"), pk=pk)
        content = composing.preview(mail)
        if content is None:
            raise Http404
        return HttpResponse(content.html, headers=FRAMED)

    def perform_action(self, request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
        """Performs an action from the page of an email."""
        may = self.has_view_permission(request) and self.has_manage_permission(request)
        if request.method != "POST" or name not in ACTIONS or not may:
            raise PermissionDenied
        mail = get_object_or_404(OutboxMail, pk=pk)
        self._perform(request, OutboxMail.objects.filter(pk=mail.pk), ACTIONS[name])
        return redirect("admin:notifications_outboxmail_change", mail.pk)

    def _confirm(
        self, request: HttpRequest, chosen: QuerySet[OutboxMail], action: Action[OutboxMail]
    ) -> HttpResponse | None:
        """Returns the confirmation page; performs a confirmed action and returns None."""
        found = confirmation.load_selection(self, request, chosen)
        if found is None:
            return None
        if confirmation.is_confirmed(request):
            self._perform(request, chosen, action)
            return None
        rows = []
        for mail in found:
            cells = [panel.kind(mail), mail.email, panel.state(mail), panel.reason(mail)]
            obstacle = "" if action.is_applicable(mail) else str(actions.OBSTACLES[State(mail.state)])
            rows.append(confirmation.Row(mail.pk, cells, obstacle))
        announcement = action.announcement % confirmation.count_possible(rows)
        columns = [_("Kind"), _("Email address"), _("State"), _("Last error")]
        page = confirmation.Confirmation(action.name, action.label, announcement, columns, rows)
        return confirmation.response(self, request, page)

    def _perform(self, request: HttpRequest, chosen: QuerySet[OutboxMail], action: Action[OutboxMail]) -> None:
        number = action.run(chosen, actor=get_actor(request))
        self.message_user(request, action.done % number, messages.SUCCESS if number else messages.WARNING)


def _matching(term: str) -> Q:
    """Finds emails by address, by id, or by the id of their user; each has an index."""
    try:
        return Q(pk=UUID(term)) | Q(user_id=UUID(term))
    except ValueError:
        pass
    try:
        return Q(email_key=canonical_email(term))
    except ValueError:
        return Q(pk=None)
