"""The forms in which users are created and changed."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts import names, roles, users
from accounts.admin.forms import AddressField, MetadataField, RoleField, UseCaseForm
from accounts.forms import FullNameField
from accounts.models import Role, User


class SuspendForm(forms.Form):
    """Why somebody is suspended, and until when."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=names.REASON_LENGTH,
        required=False,
        validators=[names.validate_reason],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    until = forms.DateTimeField(
        label=_("Until, in UTC"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=_("Left empty, until somebody activates them."),
    )


ROLE_HELP = _("UserManager's own permissions count only while the address is confirmed.")


class RoleForm(forms.Form):
    """Which role to give."""

    role = RoleField(label=_("Role"), help_text=ROLE_HELP)


class UserForm(UseCaseForm):
    email = AddressField(label=_("Email address"))
    full_name = FullNameField(label=_("Full name"), attrs={"autocomplete": "off", "size": 40})
    role = RoleField(label=_("Role"), help_text=ROLE_HELP)
    metadata = MetadataField(label=_("Metadata"), help_text=_("A JSON object for your application's own use."))

    class Meta:
        model = User
        fields = ("email", "full_name", "role", "locale", "email_verified", "metadata")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        role = self.fields.get("role")
        if not self.actor.has_perm("roles.assign"):
            self.fields.pop("role", None)
        elif isinstance(role, RoleField):
            role.offer_to(self.actor)
            role.initial = Role.objects.filter(name=roles.USER).first()

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
