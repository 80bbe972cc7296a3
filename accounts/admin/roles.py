"""Roles in the panel."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import role_changes, roles
from accounts.admin.base import PanelModelAdmin, actor_of
from accounts.admin.forms import UseCaseForm
from accounts.models import Role

OTHERS_HELP = _("Those of your own applications, such as billing.refund, one a line. They reach the access token.")


def in_words(role: Role) -> str:
    """The description of a role; what we wrote for a built-in one is translated."""
    return gettext(role.description) if role.is_builtin else role.description


class RoleForm(UseCaseForm):
    name = forms.CharField(label=_("Name"), max_length=roles.NAME_LENGTH, validators=[roles.validate_name])
    granted = forms.MultipleChoiceField(label=_("Permissions"), required=False, widget=forms.CheckboxSelectMultiple)
    others = forms.CharField(
        label=_("Other permissions"), required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text=OTHERS_HELP
    )

    class Meta:
        model = Role
        fields = ("name", "description")

    def __init__(self, *args: Any, **options: Any) -> None:
        role = options.get("instance") or Role()
        held = role.permissions
        others = [name for name in held if name not in roles.PERMISSIONS]
        initial = {
            "description": in_words(role),
            "granted": [name for name in held if name in roles.PERMISSIONS],
            "others": "\n".join(others),
        }
        options["initial"] = initial | (options.get("initial") or {})
        super().__init__(*args, **options)
        if role.name == roles.USER:  # cannot hold any of UserManager's own
            self.fields.pop("granted", None)
        if isinstance(granted := self.fields.get("granted"), forms.MultipleChoiceField):
            offered = [name for name in roles.PERMISSIONS if self.actor.holds([name])]
            granted.choices = [(name, f"{roles.PERMISSIONS[name]} ({name})") for name in offered]

    def clean_others(self) -> list[str]:
        names = str(self.cleaned_data["others"]).split()
        if unknown := [name for name in names if name in roles.PERMISSIONS or not roles.is_permission(name)]:
            raise forms.ValidationError(_("There is no such permission.") + f" {unknown[0]}", code="invalid")
        return names

    def carry_out(self) -> Role:
        changes = self.changes()
        granted, others = changes.pop("granted", None), changes.pop("others", None)
        if granted is not None or others is not None:
            changes["permissions"] = [*self.cleaned_data.get("granted", []), *self.cleaned_data["others"]]
        if self.instance._state.adding:
            return role_changes.create(changes.pop("name"), changes.pop("permissions", []), actor=self.actor, **changes)
        return role_changes.update(self.instance, actor=self.actor, **changes)


@admin.register(Role)
class RoleAdmin(PanelModelAdmin):
    needs: ClassVar[dict[str, str]] = {"view": "roles.view"} | dict.fromkeys(
        ("add", "change", "delete"), "roles.change"
    )
    form = RoleForm
    list_display = ("name", "described", "granted_permissions", "is_builtin")
    ordering = ("name",)

    @admin.display(description=_("description"))
    def described(self, role: Role) -> str:
        return in_words(role)

    @admin.display(description=_("permissions"))
    def granted_permissions(self, role: Role) -> str:
        return str(_("everything")) if role.is_admin else ", ".join(role.permissions) or "–"

    def get_fields(self, request: HttpRequest, obj: Role | None = None) -> Any:
        if self.has_change_permission(request, obj):
            is_default = obj is not None and obj.name == roles.USER
            return ["name", "description", *([] if is_default else ["granted"]), "others"]
        return ["name", "described", "granted_permissions"]

    def get_readonly_fields(self, request: HttpRequest, obj: Role | None = None) -> list[str]:
        if not self.has_change_permission(request, obj):
            return ["described", "granted_permissions"]
        return ["name"] if obj and obj.is_builtin else []

    def has_change_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or (not obj.is_admin and role_changes.may_change(obj, actor_of(request)))
        )

    def has_delete_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return self.has_change_permission(request, obj) and not (obj and obj.is_builtin)

    def delete_model(self, request: HttpRequest, obj: Role) -> None:
        role_changes.delete(obj, actor=actor_of(request))
