"""The forms that create and change users."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts import permissions, users, validators
from accounts.admin.forms import AddressField, MetadataField, RoleField, UseCaseForm
from accounts.forms import FullNameField
from accounts.models import Role, User


class ReasonForm(forms.Form):
    """The reason of an action."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=validators.REASON_MAX_LENGTH,
        required=False,
        validators=[validators.validate_reason],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class SuspendForm(ReasonForm):
    """The reason and the end of a suspension."""

    until = forms.DateTimeField(
        label=_("Until (UTC)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=_("If empty, until an administrator activates the user."),
    )


ROLE_HELP = _("UserManager's own permissions apply only while the email address is confirmed.")


class RoleForm(forms.Form):
    """The role to assign."""

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
            role.initial = Role.objects.filter(name=permissions.USER).first()

    def perform(self) -> User:
        return users.update(self.instance, actor=self.actor, **self.changes())


class NewUserForm(UserForm):
    password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 40}),
        help_text=_("If empty, an email invites the user to choose one."),
    )

    def perform(self) -> User:
        fields = {**self.cleaned_data}
        password = fields.pop("password") or None
        return users.create(fields.pop("email"), actor=self.actor, password=password, **fields)
