"""What can be done to several users at once, after a page that lists what will happen to each of them.

Each user is a use case of their own: what is refused for one is told, and does not hold the others up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import users
from accounts.admin import confirmation, words
from accounts.admin.base import PanelModelAdmin, actor_of, holds
from accounts.admin.forms import RoleField
from accounts.admin.user_forms import RoleForm, SuspendForm
from accounts.errors import AccountError, LastAdmin
from accounts.models import User

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


@dataclass(frozen=True)
class Bulk:
    """`run` takes a user and, by keyword, the actor and what the form asked for."""

    name: str
    title: "_StrPromise"
    button: "_StrPromise"
    run: Callable[..., Any]
    is_idle: Callable[[User], bool] = lambda user: False
    form: type[forms.Form] = forms.Form

    def asks(self, actor: User, data: Any = None) -> forms.Form:
        form = self.form(data, label_suffix="")
        for field in form.fields.values():
            if isinstance(field, RoleField):
                field.offer_to(actor)
        return form


ROLE = Bulk(
    "change_role", gettext_lazy("Give another role"), gettext_lazy("Give this role"), users.set_role, form=RoleForm
)
SUSPEND = Bulk(
    "suspend",
    gettext_lazy("Suspend"),
    gettext_lazy("Suspend them"),
    users.suspend,
    is_idle=lambda user: not user.is_active,
    form=SuspendForm,
)
ACTIVATE = Bulk(
    "activate",
    gettext_lazy("Activate"),
    gettext_lazy("Activate them"),
    users.activate,
    is_idle=lambda user: user.is_active,
)
DELETE = Bulk("delete_for_good", gettext_lazy("Delete"), gettext_lazy("Delete them for good"), users.delete)


class BulkActions(PanelModelAdmin):
    """The actions of the list of users."""

    actions = ("change_role", "suspend", "activate", "delete_for_good")

    @admin.action(description=ROLE.title, permissions=["assign"])
    def change_role(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._confirm(request, chosen, ROLE)

    @admin.action(description=SUSPEND.title, permissions=["change"])
    def suspend(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._confirm(request, chosen, SUSPEND)

    @admin.action(description=ACTIVATE.title, permissions=["change"])
    def activate(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._confirm(request, chosen, ACTIVATE)

    @admin.action(description=DELETE.title, permissions=["delete"])
    def delete_for_good(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._confirm(request, chosen, DELETE)

    def has_assign_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request) and holds(request, "roles.assign")

    def _confirm(self, request: HttpRequest, chosen: QuerySet[User], bulk: Bulk) -> HttpResponse | None:
        """The page that asks, or after its answer nothing, which leads back to the list."""
        found = confirmation.chosen(self, request, chosen.select_related("role"))
        if found is None:
            return None
        is_answered = confirmation.is_answered(request)
        form = bulk.asks(actor_of(request), request.POST if is_answered else None)
        if is_answered and form.is_valid():
            self._carry_out(request, found, partial(bulk.run, actor=actor_of(request), **form.cleaned_data))
            return None
        return confirmation.page(self, request, _question(bulk, found, form, actor_of(request)))

    def _carry_out(self, request: HttpRequest, found: list[User], run: Callable[..., Any]) -> None:
        """For all but the one who acts: signed out in the middle, they could not do the rest."""
        done, refusals = 0, []
        for user in found:
            try:
                if user.pk == actor_of(request).pk:
                    raise _refusal_to_oneself(user)
                run(user)
                done += 1
            except AccountError as refusal:
                refusals.append(f"{user.email}: {refusal.detail}")
        self.tell_refusals(request, refusals)
        text = ngettext("Done for %d user.", "Done for %d users.", done) % done
        self.message_user(request, text, messages.SUCCESS if done else messages.WARNING)


def _question(bulk: Bulk, found: list[User], form: forms.Form, actor: User) -> confirmation.Question:
    rows = [confirmation.Row(user.pk, _cells(user), obstacle(user, actor, bulk)) for user in found]
    number = confirmation.possible(rows)
    announcement = ngettext("This will be done to %d user.", "This will be done to %d users.", number) % number
    columns = [_("User"), _("Role"), _("State")]
    return confirmation.Question(
        bulk.name, bulk.title, bulk.button, announcement, columns, rows, form, is_final=bulk is DELETE
    )


def _cells(user: User) -> list[object]:
    person = format_html('<span>{} <span class="quiet">{}</span></span>', user.email, user.full_name)
    return [person, user.role, words.badges(user)]


def obstacle(user: User, actor: User, bulk: Bulk) -> str:
    """Why nothing will happen to the user, as far as can be told before; the use case has the last word."""
    if user.pk == actor.pk:
        return str(_refusal_to_oneself(user).detail)
    if not actor.holds_role(user.role):
        return _("They hold more than you do.")
    return _("Nothing to change.") if bulk.is_idle(user) else ""


def _refusal_to_oneself(user: User) -> AccountError:
    if user.role.is_admin and not User.objects.administrators().exclude(pk=user.pk).exists():
        return LastAdmin()
    return AccountError(_("This is you: do it on your own page."))
