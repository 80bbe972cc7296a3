"""Users in the panel: the list, and the page of one of them with all that can be done about them."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit, invitations, suspension, throttling, users
from accounts.admin import deeds, downloads, links, sections, words
from accounts.admin.base import actor_of, holds
from accounts.admin.bulk import BulkActions
from accounts.admin.days import DayFilter
from accounts.admin.pills import Pills
from accounts.admin.user_forms import NewUserForm, UserForm
from accounts.errors import AccountError, Throttled
from accounts.filters import UserFilter
from accounts.models import User
from accounts.transfer import exporting

FIELDS = ("email", "full_name", "role", "locale", "email_verified", "metadata")


@admin.register(User)
class UserAdmin(BulkActions):
    needs: ClassVar[dict[str, str]] = {
        "view": "users.view",
        "add": "users.add",
        "change": "users.change",
        "delete": "users.delete",
    }
    form = UserForm
    list_display = ("person", "role", "state", "created", "last_login")
    list_display_links = None
    list_select_related = ("role",)
    ordering: ClassVar[tuple[Any, ...]] = ("-created_at", "-id")
    list_filter = (Pills, DayFilter, "role", "is_active", "email_verified")
    search_fields = ("email",)
    search_help_text = gettext_lazy("Part of an address or of a name.")

    @admin.display(description=gettext_lazy("user"), ordering="email_key")
    def person(self, user: User) -> SafeString:
        link, name = links.user(user.pk), user.full_name or "–"
        return format_html('<a href="{}"><b>{}</b><br><span class="quiet">{}</span></a>', link, user.email, name)

    @admin.display(description=gettext_lazy("state"))
    def state(self, user: User) -> SafeString:
        return words.badges(user)

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, user: User) -> str:
        return words.moment(user.created_at)

    @admin.display(description=gettext_lazy("last login"), ordering="last_login_at")
    def last_login(self, user: User) -> str:
        return words.moment(user.last_login_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return invitations.with_states(super().get_queryset(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        query = request.GET.urlencode()
        address = reverse("admin:accounts_user_export") + (f"?{query}" if query else "")
        return super().changelist_view(request, {"export_url": address} | (extra_context or {}))

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **options: Any) -> Any:
        return super().get_form(request, obj, change, **options | ({} if obj else {"form": NewUserForm}))

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is not None:
            return FIELDS
        mine = [name for name in FIELDS[1:] if name != "role" or holds(request, "roles.assign")]
        return ["email", "password", *mine]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        return [] if holds(request, "roles.assign") else ["role"]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Changing shows the address, so it takes `users.view`, too; the same holds for deleting."""
        may = self.has_view_permission(request) and super().has_change_permission(request, obj)
        return may and self._is_within_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = self.has_view_permission(request) and super().has_delete_permission(request, obj)
        return may and self._is_within_reach(request, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        found = UserFilter({"search": search_term}, queryset=queryset)
        return (found.qs if found.is_valid() else queryset.none()), False

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        users.delete(obj, actor=actor_of(request))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        mine = [
            path("export/", wrap(self.export), name="accounts_user_export"),
            path("<uuid:pk>/do/<slug:name>/", wrap(self.do), name="accounts_user_do"),
            path("<uuid:pk>/sessions/<uuid:session_id>/end/", wrap(self.end_session), name="accounts_user_end_session"),
        ]
        return mine + super().get_urls()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        if user := context.get("original"):
            context |= self._known(request, user)
        context["show_delete"] = False  # it stands among the buttons
        return super().render_change_form(request, context, *args, **options)

    def response_post_save_change(self, request: HttpRequest, obj: User) -> HttpResponseRedirect:
        """Who changed somebody stays with them."""
        return redirect(links.user(obj.pk))

    def response_post_save_add(self, request: HttpRequest, obj: User) -> HttpResponseRedirect:
        return redirect(links.user(obj.pk) if self.has_view_permission(request) else "admin:index")

    def do(self, request: HttpRequest, pk: UUID, name: str) -> HttpResponseBase:
        """A button on the page of a user was pressed."""
        deed = deeds.find(name)
        user = self._subject(request, pk, deed.permission if deed else "")
        if deed is None:
            raise PermissionDenied
        form = deed.asks(request.POST)
        if form and not form.is_valid():
            self.message_user(request, str(next(iter(form.errors.values()))[0]), messages.ERROR)
            return redirect(links.user(user.pk))
        asked = form.cleaned_data if form else {}
        return self._press(request, user, partial(deed.run, user, actor=actor_of(request), **asked), deed.done)

    def end_session(self, request: HttpRequest, pk: UUID, session_id: UUID) -> HttpResponseBase:
        user = self._subject(request, pk, "sessions.revoke")
        session = get_object_or_404(user.sessions, pk=session_id)
        done = _("The session has ended.")
        return self._press(request, user, lambda: users.revoke_session(user, session, actor=actor_of(request)), done)

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The filtered list as CSV, however long; that it left the house is recorded, and what was searched is not."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            chosen = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return redirect(links.users())
        try:
            throttling.take([throttling.user_try(actor_of(request), "export-list", settings.RATE_EXPORT)])
        except Throttled as refusal:
            self.message_user(request, str(refusal.detail), messages.ERROR)
            return redirect(links.users())
        audit.record("users:exported", None, actor=actor_of(request), filters=sorted(request.GET))
        return downloads.csv("users", exporting.write_csv, chosen)

    def _known(self, request: HttpRequest, user: User) -> dict[str, Any]:
        """What the page of a user shows besides the form."""
        is_within_reach = self._is_within_reach(request, user)
        offered = deeds.offered(user, actor_of(request)) if is_within_reach else []
        return {
            "deeds": [(deed, deed.asks()) for deed in offered],
            "is_within_reach": is_within_reach,
            "sections": sections.of(request, user),
            "badges": words.badges(user),
            "suspension": suspension.current(user),
            "title": user.full_name or user.email,
            "subtitle": None,
        }

    def _subject(self, request: HttpRequest, pk: UUID, permission: str) -> User:
        """Whom a button is about. Raises Http404 and PermissionDenied."""
        if request.method != "POST" or not (self.has_view_permission(request) and holds(request, permission)):
            raise PermissionDenied
        return get_object_or_404(User.objects.select_related("role"), pk=pk)

    def _press(self, request: HttpRequest, user: User, deed: Callable[[], object], done: object) -> HttpResponse:
        try:
            deed()
            self.message_user(request, str(done), messages.SUCCESS)
        except AccountError as refusal:
            self.message_user(request, str(refusal.detail), messages.ERROR)
        return redirect(links.user(user.pk))

    def _is_within_reach(self, request: HttpRequest, user: User | None) -> bool:
        """Who holds more than the one who looks is shown to them, and not more; the use cases would refuse it."""
        actor = actor_of(request)
        return user is None or user.pk == actor.pk or actor.holds_role(user.role)
