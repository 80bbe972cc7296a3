"""Users in the panel: the list, and the page of each user with its actions."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit, invitations, suspension, users
from accounts.admin import csv_download, formatting, page_urls, sections, step_up, user_actions
from accounts.admin.base import get_actor, has_permission
from accounts.admin.bulk_actions import BulkActions
from accounts.admin.day_filter import DayFilter
from accounts.admin.quick_filters import QuickFilter
from accounts.admin.user_forms import NewUserForm, UserForm
from accounts.errors import AccountError, Throttled
from accounts.limits import rate_limits
from accounts.listing.filters import UserFilter
from accounts.models import User
from accounts.transfer import exporting

ADDRESS_FIELDS = {"email", "email_verified"}
FIELDS = UserForm.Meta.fields


@admin.register(User)
class UserAdmin(BulkActions):
    required_permissions: ClassVar[dict[str, str]] = {
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
    list_filter = (QuickFilter, DayFilter, "role", "is_active", "email_verified", "mfa_enabled")
    search_fields = ("email",)
    search_help_text = gettext_lazy("Part of an email address or name.")

    @admin.display(description=gettext_lazy("user"), ordering="email_key")
    def person(self, user: User) -> SafeString:
        link, name = page_urls.user(user.pk), user.full_name or "–"
        return format_html('<a href="{}"><b>{}</b><br><span class="quiet">{}</span></a>', link, user.email, name)

    @admin.display(description=gettext_lazy("state"))
    def state(self, user: User) -> SafeString:
        return formatting.user_badges(user)

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, user: User) -> str:
        return formatting.relative_time(user.created_at)

    @admin.display(description=gettext_lazy("last login"), ordering="last_login_at")
    def last_login(self, user: User) -> str:
        return formatting.relative_time(user.last_login_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return invitations.annotate_state(super().get_queryset(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        query = request.GET.urlencode()
        address = reverse("admin:accounts_user_export") + (f"?{query}" if query else "")
        return super().changelist_view(request, {"export_url": address} | (extra_context or {}))

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **options: Any) -> Any:
        return super().get_form(request, obj, change, **options | ({} if obj else {"form": NewUserForm}))

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is not None:
            return FIELDS
        fields = [name for name in FIELDS[1:] if name != "role" or has_permission(request, "roles.assign")]
        return ["email", "password", *fields]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        return [] if has_permission(request, "roles.assign") else ["role"]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Requires `users.view`, too: the page to change or delete a user shows the address."""
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

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Asks a user with a second factor for a fresh login before they change their own address, as the API does."""
        user = self._needs_fresh_login(request, object_id) if request.method == "POST" else None
        if user and ADDRESS_FIELDS & set(self._changed_fields(request, user)):
            return step_up.ask(request, page_urls.user(user.pk))
        return super().change_view(request, object_id, form_url, extra_context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Asks a user with a second factor for a fresh login before they delete their own account."""
        if self._needs_fresh_login(request, object_id):
            return step_up.ask(request, request.path)
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        users.delete(obj, actor=get_actor(request))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own_urls = [
            path("export/", wrap(self.export), name="accounts_user_export"),
            path("<uuid:pk>/do/<slug:name>/", wrap(self.perform_action), name="accounts_user_action"),
            path("<uuid:pk>/sessions/<uuid:session_id>/end/", wrap(self.end_session), name="accounts_user_end_session"),
        ]
        return own_urls + super().get_urls()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        if user := context.get("original"):
            context |= self._page_context(request, user)
        context["show_delete"] = False  # the link is among the actions
        return super().render_change_form(request, context, *args, **options)

    def response_change(self, request: HttpRequest, obj: User) -> HttpResponse:
        """Redirects to the user's page, with Django's message."""
        super().response_change(request, obj)
        return redirect(page_urls.user(obj.pk))

    def response_add(self, request: HttpRequest, obj: User, post_url_continue: str | None = None) -> HttpResponse:
        super().response_add(request, obj, post_url_continue)
        return redirect(page_urls.user(obj.pk) if self.has_view_permission(request) else "admin:index")

    def perform_action(self, request: HttpRequest, pk: UUID, name: str) -> HttpResponseBase:
        """Performs an action of the user's page."""
        action = user_actions.find(name)
        user = self._get_target(request, pk, action.permission if action else "")
        if action is None:
            raise PermissionDenied
        if action.needs_fresh_login and not step_up.is_fresh(request):
            return step_up.ask(request, page_urls.user(user.pk))
        form = action.form_for(get_actor(request), request.POST)
        if not form.is_valid():
            self.message_user(request, str(next(iter(form.errors.values()))[0]), messages.ERROR)
            return redirect(page_urls.user(user.pk))
        run = partial(action.run, user, actor=get_actor(request), **form.cleaned_data)
        return self._perform(request, user, run, action.done)

    def end_session(self, request: HttpRequest, pk: UUID, session_id: UUID) -> HttpResponseBase:
        user = self._get_target(request, pk, "sessions.revoke")
        session = get_object_or_404(user.sessions, pk=session_id)
        done = _("The session has ended.")
        return self._perform(request, user, lambda: users.revoke_session(user, session, actor=get_actor(request)), done)

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """Streams the filtered list as CSV. The export is audited; the search terms are not."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            chosen = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return redirect(page_urls.users())
        try:
            rate_limits.consume([rate_limits.user_attempt(get_actor(request), "export-list", settings.RATE_EXPORT)])
        except Throttled as error:
            self.message_user(request, str(error.detail), messages.ERROR)
            return redirect(page_urls.users())
        audit.record("users:exported", None, actor=get_actor(request), filters=sorted(request.GET))
        return csv_download.response("users", exporting.write_csv, chosen)

    def _page_context(self, request: HttpRequest, user: User) -> dict[str, Any]:
        """Returns what the user's page shows besides the form."""
        is_within_reach = self._is_within_reach(request, user)
        actor = get_actor(request)
        offered = user_actions.offered(user, actor) if is_within_reach else []
        return {
            "actions": [(action, action.form_for(actor)) for action in offered],
            "is_within_reach": is_within_reach,
            "sections": sections.for_user(request, user),
            "badges": formatting.user_badges(user),
            "suspension": suspension.current(user),
            "title": user.full_name or user.email,
            "subtitle": None,
        }

    def _changed_fields(self, request: HttpRequest, user: User) -> list[str]:
        form: UserForm = self.get_form(request, user, change=True)(request.POST, instance=user)
        return form.changed_data

    def _needs_fresh_login(self, request: HttpRequest, object_id: str) -> User | None:
        """Returns the user of the page if it is the actor, who has a second factor and a login that is too old."""
        user: User | None = self.get_object(request, unquote(object_id))
        if user is None or user.pk != get_actor(request).pk or not user.mfa_enabled:
            return None
        return None if step_up.is_fresh(request) else user

    def _get_target(self, request: HttpRequest, pk: UUID, permission: str) -> User:
        """Returns the user that an action is for. Raises Http404 and PermissionDenied."""
        if request.method != "POST" or not (self.has_view_permission(request) and has_permission(request, permission)):
            raise PermissionDenied
        return get_object_or_404(User.objects.select_related("role"), pk=pk)

    def _perform(self, request: HttpRequest, user: User, run: Callable[[], object], done: object) -> HttpResponse:
        try:
            run()
            self.message_user(request, str(done), messages.SUCCESS)
        except AccountError as error:
            self.message_user(request, str(error.detail), messages.ERROR)
        return redirect(page_urls.user(user.pk))

    def _is_within_reach(self, request: HttpRequest, user: User | None) -> bool:
        """Tells whether the actor has all of the user's permissions; if not, the page is read-only."""
        actor = get_actor(request)
        return user is None or user.pk == actor.pk or actor.holds_permissions_of(user.role)
