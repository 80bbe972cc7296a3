"""The outbox in the admin panel: everything to be seen, and nothing changed but by sending again and cancelling."""

from collections.abc import Callable
from dataclasses import dataclass
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

from accounts.addresses import canonical_email
from accounts.admin import confirmation, words
from accounts.admin.base import PanelModelAdmin, actor_of, holds, sees_people
from accounts.admin.days import DayFilter
from notifications import interventions, mails, outbox, panel
from notifications.models import OutboxMail, State

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

# For the frame that shows a mail's HTML: the styles it brings and no more, and only within our own pages.
FRAMED = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox",
    "X-Frame-Options": "SAMEORIGIN",
}
FIELDS = (
    *("id", "kind", "reader", "email", "language", "queue", "data", "created_at"),
    *("state", "attempts", "next_attempt_at", "lease_until", "sent_at", "reason"),
)


@dataclass(frozen=True)
class Deed:
    """What can be done to the mails of certain states; `run` takes them and, by keyword, the actor."""

    name: str
    label: "_StrPromise"
    run: Callable[..., int]
    states: tuple[State, ...]
    announcement: Any
    done: Any
    help: "_StrPromise"

    def obstacle(self, mail: OutboxMail) -> str:
        """Why nothing will happen to the mail, as it stands now."""
        return "" if mail.state in self.states else str(interventions.OBSTACLES[State(mail.state)])


RETRY = Deed(
    "retry",
    gettext_lazy("Send again"),
    interventions.send_again,
    outbox.RETRIABLE,
    ngettext_lazy("%d mail will be tried again.", "%d mails will be tried again."),
    ngettext_lazy("%d mail will be tried again.", "%d mails will be tried again."),
    gettext_lazy("At once, with a new link and all tries before it."),
)
CANCEL = Deed(
    "cancel",
    gettext_lazy("Cancel"),
    interventions.cancel,
    outbox.UNSENT,
    ngettext_lazy("%d mail will be cancelled.", "%d mails will be cancelled."),
    ngettext_lazy("%d mail was cancelled.", "%d mails were cancelled."),
    gettext_lazy("It does not go out, unless it is being sent right now or is sent again."),
)
DEEDS = {deed.name: deed for deed in (RETRY, CANCEL)}

# Saved filters; "late" is what did not go at the first try.
PILLS: dict[str, tuple["_StrPromise", Q]] = {
    "owed": (gettext_lazy("Owed"), Q(state__in=outbox.UNSENT)),
    "late": (gettext_lazy("Tried in vain"), Q(state=State.OWED, attempts__gt=0)),
    "failed": (gettext_lazy("Failed"), Q(state=State.FAILED)),
    "cancelled": (gettext_lazy("Cancelled"), Q(state=State.CANCELLED)),
    "sent": (gettext_lazy("Sent"), Q(state=State.SENT)),
}


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"
    template = "admin/pills.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, label) for name, (label, _condition) in PILLS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(PILLS[value][1]) if (value := self.value()) in PILLS else queryset


class KindFilter(admin.SimpleListFilter):
    """Those that there are, without asking a long list which ones are in it."""

    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, kind.label) for name, kind in mails.KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() in mails.KINDS else queryset


@admin.register(OutboxMail)
class OutboxMailAdmin(PanelModelAdmin):
    needs: ClassVar[dict[str, str]] = {"view": "mails.view"}
    list_display = ("created", "what", "email", "how_it_went", "tries", "next_try", "reason")
    list_display_links = None
    list_filter = (StateFilter, DayFilter, KindFilter, "queue")
    search_fields = ("email_key",)
    search_help_text = gettext_lazy("A whole address, or the id of a mail or of a user.")
    fields = FIELDS
    readonly_fields = ("reader",)
    actions = ("retry", "cancel")

    @admin.display(description=gettext_lazy("created"), ordering="id")
    def created(self, mail: OutboxMail) -> str:
        return words.moment(mail.created_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxMail]:
        """With the address that the user has now, which `mails.view` does not show: it shows where an email went."""
        now = F("user__email") if sees_people(request) else Value(None, output_field=CharField())
        found: QuerySet[OutboxMail] = super().get_queryset(request).annotate(now=now)
        return found

    @admin.display(description=gettext_lazy("user"))
    def reader(self, mail: Any) -> str:
        return words.person(mail.now, mail.user_id)

    @admin.display(description=gettext_lazy("kind"))
    def what(self, mail: OutboxMail) -> SafeString:
        return panel.link(mail)

    @admin.display(description=gettext_lazy("state"))
    def how_it_went(self, mail: OutboxMail) -> SafeString:
        return panel.state(mail)

    @admin.display(description=gettext_lazy("tries"))
    def tries(self, mail: OutboxMail) -> str:
        return ngettext("%d try", "%d tries", mail.attempts) % mail.attempts if mail.attempts else words.NOTHING

    @admin.display(description=gettext_lazy("next try"))
    def next_try(self, mail: OutboxMail) -> str:
        return words.moment(mail.next_attempt_at) if mail.state == State.OWED else words.NOTHING

    @admin.display(description=gettext_lazy("last error"))
    def reason(self, mail: OutboxMail) -> str:
        return panel.reason(mail) or words.NOTHING

    @admin.action(description=RETRY.label, permissions=["settle"])
    def retry(self, request: HttpRequest, chosen: QuerySet[OutboxMail]) -> HttpResponse | None:
        return self._confirm(request, chosen, RETRY)

    @admin.action(description=CANCEL.label, permissions=["settle"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[OutboxMail]) -> HttpResponse | None:
        return self._confirm(request, chosen, CANCEL)

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return holds(request, "mails.change")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """The newest first, in the order of the index by which the mails of a state are found."""
        return ("-created_at", "-id") if StateFilter.parameter_name in request.GET else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxMail], search_term: str
    ) -> tuple[QuerySet[OutboxMail], bool]:
        term = search_term.strip()
        return (queryset.filter(_named(term)) if term else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if self.has_view_permission(request) and (why := panel.why_held()):
            self.message_user(request, why, messages.ERROR)
        return super().changelist_view(request, extra_context)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        mine = [
            path("<uuid:pk>/preview/", wrap(self.preview), name="notifications_outboxmail_preview"),
            path("<uuid:pk>/do/<slug:name>/", wrap(self.do), name="notifications_outboxmail_do"),
        ]
        return mine + super().get_urls()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        mail = context["original"]
        offered = DEEDS.values() if self.has_settle_permission(request) else ()
        context |= {
            "title": panel.kind(mail),
            "subtitle": None,
            "badge": panel.state(mail),
            "reason": panel.reason(mail),
            "content": mails.preview(mail),
            "deeds": [deed for deed in offered if not deed.obstacle(mail)],
        }
        return super().render_change_form(request, context, *args, **options)

    def preview(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The HTML of the mail, as the frame on its page shows it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        mail = get_object_or_404(OutboxMail.objects.select_related("user"), pk=pk)
        content = mails.preview(mail)
        if content is None:
            raise Http404
        return HttpResponse(content.html, headers=FRAMED)

    def do(self, request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
        """A button on the page of a mail was pressed."""
        may = self.has_view_permission(request) and self.has_settle_permission(request)
        if request.method != "POST" or name not in DEEDS or not may:
            raise PermissionDenied
        mail = get_object_or_404(OutboxMail, pk=pk)
        self._carry_out(request, OutboxMail.objects.filter(pk=mail.pk), DEEDS[name])
        return redirect("admin:notifications_outboxmail_change", mail.pk)

    def _confirm(self, request: HttpRequest, chosen: QuerySet[OutboxMail], deed: Deed) -> HttpResponse | None:
        """The page that asks, or after its answer nothing, which leads back to the list."""
        found = confirmation.chosen(self, request, chosen)
        if found is None:
            return None
        if confirmation.is_answered(request):
            self._carry_out(request, chosen, deed)
            return None
        return confirmation.page(self, request, _question(deed, found))

    def _carry_out(self, request: HttpRequest, chosen: QuerySet[OutboxMail], deed: Deed) -> None:
        number = deed.run(chosen, actor=actor_of(request))
        self.message_user(request, deed.done % number, messages.SUCCESS if number else messages.WARNING)


def _question(deed: Deed, found: list[OutboxMail]) -> confirmation.Question:
    rows = [confirmation.Row(mail.pk, _cells(mail), deed.obstacle(mail)) for mail in found]
    announcement = deed.announcement % confirmation.possible(rows)
    columns = [_("Kind"), _("Email address"), _("State"), _("Last error")]
    return confirmation.Question(deed.name, deed.label, deed.label, announcement, columns, rows)


def _cells(mail: OutboxMail) -> list[object]:
    return [panel.kind(mail), mail.email, panel.state(mail), panel.reason(mail)]


def _named(term: str) -> Q:
    """The mails of an address, with an id, or of the user with that id; each has an index."""
    try:
        return Q(pk=UUID(term)) | Q(user_id=UUID(term))
    except ValueError:
        pass
    try:
        return Q(email_key=canonical_email(term))
    except ValueError:
        return Q(pk=None)
