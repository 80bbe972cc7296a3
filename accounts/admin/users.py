"""Users in the panel."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import users
from accounts.admin.base import PanelModelAdmin, actor_of, holds
from accounts.admin.forms import AddressField, MetadataField, RoleField, UseCaseForm
from accounts.filters import UserFilter
from accounts.forms import FullNameField
from accounts.models import User


class UserForm(UseCaseForm):
    email = AddressField(label=_("Email address"))
    full_name = FullNameField(label=_("Full name"), attrs={"autocomplete": "off", "size": 40})
    role = RoleField(label=_("Role"))
    metadata = MetadataField(label=_("Metadata"), help_text=_("A JSON object for your application's own use."))

    class Meta:
        model = User
        fields = ("email", "full_name", "role", "locale", "email_verified", "metadata")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        role = self.fields.get("role")
        if isinstance(role, RoleField):
            role.offer_to(self.actor)

    def carry_out(self) -> User:
        return users.update(self.instance, actor=self.actor, **self.changes())


class NewUserForm(UserForm):
    password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 40}),
        help_text=_("Left empty, they are invited by mail to choose one."),
    )

    def carry_out(self) -> User:
        fields = {**self.cleaned_data}
        password = fields.pop("password") or None
        return users.create(fields.pop("email"), actor=self.actor, password=password, **fields)


@admin.register(User)
class UserAdmin(PanelModelAdmin):
    needs: ClassVar[dict[str, str]] = {
        "view": "users.view",
        "add": "users.add",
        "change": "users.change",
        "delete": "users.delete",
    }
    form = UserForm
    list_display = ("email", "full_name", "role", "is_active", "email_verified", "created_at", "last_login_at")
    list_select_related = ("role",)
    list_filter = ("is_active", "email_verified", "role")
    search_fields = ("email",)
    search_help_text = _("Part of an address or of a name.")

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **options: Any) -> Any:
        return super().get_form(request, obj, change, **options | ({} if obj else {"form": NewUserForm}))

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = ["email", "full_name", "role", "locale", "email_verified", "metadata"]
        if obj is None:
            may_assign = holds(request, "roles.assign")
            return ["email", "password"] + [name for name in fields[1:] if name != "role" or may_assign]
        return fields

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        return [] if holds(request, "roles.assign") else ["role"]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._is_within_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._is_within_reach(request, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        found = UserFilter({"search": search_term}, queryset=queryset)
        return (found.qs if found.is_valid() else queryset.none()), False

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        users.delete(obj, actor=actor_of(request))

    def _is_within_reach(self, request: HttpRequest, user: User | None) -> bool:
        """Who holds more than the one who looks is shown to them, and not more; the use cases would refuse it."""
        actor = actor_of(request)
        return user is None or user.pk == actor.pk or actor.holds_role(user.role)
