"""Roles in the panel."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import permissions, roles
from accounts.admin import page_urls, step_up
from accounts.admin.base import PanelModelAdmin, get_actor
from accounts.admin.forms import UseCaseForm
from accounts.models import Role

OTHERS_HELP = _(
    "Permissions of your own applications, one per line, such as billing.refund. Access tokens contain them."
)


def translated_description(role: Role) -> str:
    """Returns the description of the role, translated if the role is built in."""
    return gettext(role.description) if role.is_builtin else role.description


class RoleForm(UseCaseForm):
    is_fresh: bool
    page: str

    name = forms.CharField(
        label=_("Name"), max_length=permissions.ROLE_NAME_LENGTH, validators=[permissions.validate_role_name]
    )
    granted = forms.MultipleChoiceField(label=_("Permissions"), required=False, widget=forms.CheckboxSelectMultiple)
    others = forms.CharField(
        label=_("Other permissions"), required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text=OTHERS_HELP
    )

    class Meta:
        model = Role
        fields = ("name", "description", "mfa")

    def __init__(self, *args: Any, **options: Any) -> None:
        role = options.get("instance") or Role()
        held = role.permissions
        others = [name for name in held if name not in permissions.PERMISSIONS]
        initial = {
            "description": translated_description(role),
            "granted": [name for name in held if name in permissions.PERMISSIONS],
            "others": "\n".join(others),
        }
        options["initial"] = initial | (options.get("initial") or {})
        super().__init__(*args, **options)
        if "mfa" in self.fields:
            self.fields["mfa"].required = False
        if role.name in (permissions.USER, permissions.ADMIN):  # one holds no permission of UserManager, one holds all
            self.fields.pop("granted", None)
        if role.is_admin:
            self.fields.pop("others", None)
        if isinstance(granted := self.fields.get("granted"), forms.MultipleChoiceField):
            offered = [name for name in permissions.PERMISSIONS if self.actor.holds([name])]
            granted.choices = [(name, f"{permissions.PERMISSIONS[name]} ({name})") for name in offered]

    def clean_others(self) -> list[str]:
        names = str(self.cleaned_data["others"]).split()
        if unknown := [
            name for name in names if name in permissions.PERMISSIONS or not permissions.is_permission(name)
        ]:
            raise forms.ValidationError(_("There is no such permission.") + f" {unknown[0]}", code="invalid")
        return names

    def clean_mfa(self) -> str:
        """Requires a fresh login for another policy. Without a value, the policy stays."""
        policy = str(self.cleaned_data["mfa"] or self.instance.mfa)
        if policy != self.instance.mfa and not self.is_fresh:
            link = format_html('<a href="{}">{}</a>', page_urls.confirm(self.page), gettext("Confirm that it is you"))
            text = gettext("Nothing was changed yet. Confirm that it is you, then send the action again.")
            raise forms.ValidationError(format_html("{} {}", text, link), code="fresh_login_required")
        return policy

    def perform(self) -> Role:
        role: Role = self.instance
        changes = self.changes()
        if changes.get("mfa") == role.mfa:
            del changes["mfa"]
        if role.is_admin and not changes:
            return role
        granted, others = changes.pop("granted", None), changes.pop("others", None)
        if granted is not None or others is not None:
            changes["permissions"] = [*self.cleaned_data.get("granted", []), *self.cleaned_data["others"]]
        if role._state.adding:
            return roles.create(changes.pop("name"), changes.pop("permissions", []), actor=self.actor, **changes)
        return roles.update(role, actor=self.actor, **changes)


@admin.register(Role)
class RoleAdmin(PanelModelAdmin):
    required_permissions: ClassVar[dict[str, str]] = {"view": "roles.view"} | dict.fromkeys(
        ("add", "change", "delete"), "roles.change"
    )
    form = RoleForm
    list_display = ("name", "described", "granted_permissions", "mfa", "is_builtin")
    ordering = ("name",)

    @admin.display(description=_("description"))
    def described(self, role: Role) -> str:
        return translated_description(role)

    @admin.display(description=_("permissions"))
    def granted_permissions(self, role: Role) -> str:
        return str(_("all permissions")) if role.is_admin else ", ".join(role.permissions) or "–"

    def get_fields(self, request: HttpRequest, obj: Role | None = None) -> Any:
        if self.has_change_permission(request, obj):
            is_default = obj is not None and obj.name == permissions.USER
            if obj is not None and obj.is_admin:
                return ["name", "described", "granted_permissions", "mfa"]
            return ["name", "description", *([] if is_default else ["granted"]), "others", "mfa"]
        return ["name", "described", "granted_permissions", "mfa"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change, **options)
        form.is_fresh, form.page = step_up.is_fresh(request), request.path
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Role | None = None) -> list[str]:
        if not self.has_change_permission(request, obj):
            return ["described", "granted_permissions", "mfa"]
        if obj and obj.is_admin:
            return ["name", "described", "granted_permissions"]
        return ["name"] if obj and obj.is_builtin else []

    def has_change_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or roles.may_change(obj, get_actor(request))
        )

    def has_delete_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return self.has_change_permission(request, obj) and not (obj and obj.is_builtin)

    def delete_model(self, request: HttpRequest, obj: Role) -> None:
        roles.delete(obj, actor=get_actor(request))
