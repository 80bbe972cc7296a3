"""The actions on several users at once, after a confirmation page that lists the result for each user.

Each user is changed in a use case of their own. An error for one user is shown, and the others are still changed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from accounts import users
from accounts.admin import confirmation, formatting
from accounts.admin.actions import Action
from accounts.admin.base import PanelModelAdmin, get_actor, has_permission
from accounts.admin.user_actions import ACTIVATE, SUSPEND
from accounts.admin.user_forms import RoleForm
from accounts.errors import AccountError, LastAdmin
from accounts.models import User

CHANGE_ROLE: Action[User] = Action(
    "change_role",
    gettext_lazy("Change role"),
    users.set_role,
    announcement=ngettext_lazy("The role of %d user will change.", "The role of %d users will change."),
    permission="roles.assign",
    form=RoleForm,
)
DELETE: Action[User] = Action(
    "delete_for_good",
    gettext_lazy("Delete permanently"),
    users.delete,
    announcement=ngettext_lazy("%d user will be deleted permanently.", "%d users will be deleted permanently."),
    permission="users.delete",
)


class BulkActions(PanelModelAdmin):
    """The actions of the list of users."""

    actions = ("change_role", "suspend", "activate", "delete_for_good")

    @admin.action(description=CHANGE_ROLE.label, permissions=["assign"])
    def change_role(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._confirm(request, chosen, CHANGE_ROLE)

    @admin.action(description=SUSPEND.label, permissions=["change"])
    def suspend(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._confirm(request, chosen, SUSPEND)

    @admin.action(description=ACTIVATE.label, permissions=["change"])
    def activate(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._confirm(request, chosen, ACTIVATE)

    @admin.action(description=DELETE.label, permissions=["delete"])
    def delete_for_good(self, request: HttpRequest, chosen: QuerySet[User]) -> HttpResponse | None:
        return self._confirm(request, chosen, DELETE)

    def has_assign_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request) and has_permission(request, "roles.assign")

    def _confirm(self, request: HttpRequest, chosen: QuerySet[User], action: Action[User]) -> HttpResponse | None:
        """Returns the confirmation page; performs a confirmed action and returns None. Django then shows the list."""
        found = confirmation.load_selection(self, request, chosen.select_related("role"))
        if found is None:
            return None
        actor, is_confirmed = get_actor(request), confirmation.is_confirmed(request)
        form = action.form_for(actor, request.POST if is_confirmed else None)
        if is_confirmed and form.is_valid():
            self._perform_for_each(request, found, partial(action.run, actor=actor, **form.cleaned_data))
            return None
        return confirmation.response(self, request, _confirmation(action, found, form, actor))

    def _perform_for_each(self, request: HttpRequest, found: list[User], run: Callable[[User], Any]) -> None:
        """Skips the actor's own account: suspending it would end their session before the other users are changed."""
        done, errors = 0, []
        for user in found:
            if user.pk == get_actor(request).pk:
                errors.append(f"{user.email}: {_own_account_obstacle(user)}")
                continue
            try:
                run(user)
                done += 1
            except AccountError as error:
                errors.append(f"{user.email}: {error.detail}")
        self.show_errors(request, errors)
        text = ngettext("Done for %d user.", "Done for %d users.", done) % done
        self.message_user(request, text, messages.SUCCESS if done else messages.WARNING)


def _confirmation(action: Action[User], found: list[User], form: forms.Form, actor: User) -> confirmation.Confirmation:
    rows = []
    for user in found:
        person = format_html('<span>{} <span class="quiet">{}</span></span>', user.email, user.full_name)
        cells = [person, user.role, formatting.user_badges(user)]
        rows.append(confirmation.Row(user.pk, cells, obstacle(user, actor, action)))
    announcement = action.announcement % confirmation.count_possible(rows)
    columns = [_("User"), _("Role"), _("State")]
    return confirmation.Confirmation(
        action.name, action.label, announcement, columns, rows, form, is_final=action is DELETE
    )


def obstacle(user: User, actor: User, action: Action[User]) -> str:
    """Returns why the action would not change the user, as far as it can be told before; the use case decides."""
    if user.pk == actor.pk:
        return _own_account_obstacle(user)
    if not actor.holds_permissions_of(user.role):
        return _("This user has permissions you don't have.")
    return "" if action.is_applicable(user) else _("Nothing to change.")


def _own_account_obstacle(user: User) -> str:
    if user.role.is_admin and not User.objects.administrators().exclude(pk=user.pk).exists():
        return str(LastAdmin.detail)
    return _("You can't do this to your own account here.")
