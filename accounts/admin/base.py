"""The base class of all lists and forms of the panel: it checks permissions and shows errors."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import capfirst
from django.utils.translation import ngettext

from accounts.admin.changelist import BoundedPaginator, FilteredList
from accounts.admin.forms import UseCaseForm
from accounts.errors import AccountError
from accounts.models import User

MAX_ERRORS_SHOWN = 5


class PanelModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Checks our permissions instead of those of Django's admin, and leaves every change to a use case.

    A subclass that allows adding or changing sets `form` to a UseCaseForm; one that allows deleting has `delete_model`.
    """

    #: The permission for each of view, add, change and delete. An operation that is missing here is forbidden.
    required_permissions: ClassVar[dict[str, str]] = {}

    form = UseCaseForm
    ordering: ClassVar[tuple[Any, ...]] = ("-id",)
    list_per_page = 50
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def _may(self, request: HttpRequest, operation: str) -> bool:
        permission = self.required_permissions.get(operation)
        return permission is not None and has_permission(request, permission)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "delete")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return FilteredList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Answers 400 to an action on an invalid id. Without it, Django answers 500."""
        title = capfirst(self.opts.verbose_name_plural)
        context = {"title": title, "subtitle": None} | (extra_context or {})
        try:
            return super().changelist_view(request, context)
        except ValidationError as error:
            if request.method != "POST":
                raise
            raise BadRequest from error

    def show_errors(self, request: HttpRequest, errors: list[str]) -> None:
        """Shows the first errors of a list action: messages travel in a cookie, which holds no more."""
        for error in errors[:MAX_ERRORS_SHOWN]:
            self.message_user(request, error, messages.ERROR)
        if more := len(errors[MAX_ERRORS_SHOWN:]):
            text = ngettext("%d more error is not shown.", "%d more errors are not shown.", more) % more
            self.message_user(request, text, messages.ERROR)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change, **options)
        form.actor = get_actor(request)  # type: ignore[attr-defined]  # a class made for this request
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Runs without Django's transaction: the use case has its own, and may hash a password before it.

        The form has one button to save: administrators rarely add or change several users in a row.
        """
        context = {"show_save_and_add_another": False, "show_save_and_continue": False} | (extra_context or {})
        return self._changeform_view(request, object_id, form_url, context)  # type: ignore[attr-defined]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Answers 404: the audit trail replaces Django's log."""
        raise Http404

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Saves nothing: the form has already performed its use case."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Runs without Django's transaction: the use case has its own, and deletes a user in several."""
        try:
            response: HttpResponse = self._delete_view(request, object_id, extra_context)  # type: ignore[attr-defined]
            return response
        except AccountError as error:
            self.message_user(request, str(error.detail), messages.ERROR)
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", object_id)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        raise NotImplementedError

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[Any, int], set[str], list[str]]:
        """Lists only the objects themselves: Django would load all related rows, up to a million users for a role."""
        return [str(one) for one in objs], {}, set(), []

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:  # type: ignore[override]
        """Writes nothing: the audit trail has the event, and Django's log would keep addresses of deleted users."""

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:  # type: ignore[override]
        """See log_addition()."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        """See log_addition()."""


def has_permission(request: HttpRequest, permission: str) -> bool:
    return bool(request.user.is_authenticated and request.user.has_perm(permission))


def may_see_users(request: HttpRequest) -> bool:
    """Tells whether pages may show addresses and names of users; if not, they show ids."""
    return has_permission(request, "users.view")


def get_actor(request: HttpRequest) -> User:
    """Returns the signed-in user. The panel's views reject all other requests."""
    assert isinstance(request.user, User)
    return request.user
