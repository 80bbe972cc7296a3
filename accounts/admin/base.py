"""What all lists and pages of the panel have in common: whom they let do what, and what a refusal looks like."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import capfirst
from django.utils.translation import ngettext

from accounts.admin.forms import UseCaseForm
from accounts.admin.listing import BoundedPaginator, FilteredList
from accounts.errors import AccountError
from accounts.models import User

REFUSALS_TOLD = 5


class PanelModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Asks our permissions where Django's admin asks its own, and leaves every change to a use case.

    Who subclasses it and lets people add, change or delete says with which form (forms.UseCaseForm) or by which method.
    """

    #: The permission that opens each of view, add, change and delete; what is not named here nobody may do.
    needs: ClassVar[dict[str, str]] = {}

    form = UseCaseForm
    ordering: ClassVar[tuple[Any, ...]] = ("-id",)
    list_per_page = 50
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def may(self, request: HttpRequest, deed: str) -> bool:
        permission = self.needs.get(deed)
        return permission is not None and holds(request, permission)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "delete")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return FilteredList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, "subtitle": None} | (extra_context or {}))

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        """Refuses to act on what is no id, where Django would fail."""
        try:
            return super().response_action(request, queryset, *args)
        except ValidationError as fault:
            raise BadRequest from fault

    def tell_refusals(self, request: HttpRequest, refusals: list[str]) -> None:
        """The first of those that somebody met who did something to many: a cookie takes no more to the next page."""
        for refusal in refusals[:REFUSALS_TOLD]:
            self.message_user(request, refusal, messages.ERROR)
        if more := len(refusals[REFUSALS_TOLD:]):
            text = ngettext("%d more was refused.", "%d more were refused.", more) % more
            self.message_user(request, text, messages.ERROR)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change, **options)
        form.actor = actor_of(request)  # type: ignore[attr-defined]  # a class made for this request
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Without Django's transaction: the use case owns it, and may hash a password before."""
        return self._changeform_view(request, object_id, form_url, extra_context)  # type: ignore[attr-defined]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        """With one button to save: who adds or changes several does not need three to choose from."""
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **options)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The audit trail has it, see log_addition()."""
        raise Http404

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Nothing is left to save: the form's use case has run (forms.UseCaseForm)."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Without Django's transaction: the use case owns it, and deletes a user in several."""
        try:
            answer: HttpResponse = self._delete_view(request, object_id, extra_context)  # type: ignore[attr-defined]
            return answer
        except AccountError as refusal:
            self.message_user(request, str(refusal.detail), messages.ERROR)
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", object_id)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        raise NotImplementedError

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[Any, int], set[str], list[str]]:
        """Django would load all that hangs on them, which is a million users for a role."""
        return [str(one) for one in objs], {}, set(), []

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:  # type: ignore[override]
        """The audit trail has it; Django's own log would keep the addresses of people who are deleted."""

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:  # type: ignore[override]
        """See log_addition()."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        """See log_addition()."""


def holds(request: HttpRequest, permission: str) -> bool:
    return bool(request.user.is_authenticated and request.user.has_perm(permission))


def sees_people(request: HttpRequest) -> bool:
    """Whether addresses and names of other users may be shown; without it, pages show their ids."""
    return holds(request, "users.view")


def actor_of(request: HttpRequest) -> User:
    """Who is signed in to the panel; its views let nobody else through."""
    assert isinstance(request.user, User)
    return request.user
