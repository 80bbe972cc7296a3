"""A role: a named set of permissions. Every user has one role."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models.identifiers import new_id
from accounts.permissions import ADMIN, ROLE_NAME_LENGTH


class MfaPolicy(models.TextChoices):
    """Whether the users of a role need a second factor. A user who has one is always asked for it."""

    OPTIONAL = "optional", _("optional")
    REQUIRED = "required", _("required")
    OFF = "off", _("off: no user can add one")


class Role(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=ROLE_NAME_LENGTH, unique=True)
    description = models.CharField(_("description"), max_length=250, blank=True, default="")
    permissions = models.JSONField(_("permissions"), default=list, blank=True)
    permissions_gained_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="Links emailed before this time to users of the role no longer work.",
    )
    mfa = models.CharField(
        _("second factor"),
        max_length=8,
        choices=MfaPolicy.choices,
        default=MfaPolicy.OPTIONAL,
        db_default=MfaPolicy.OPTIONAL,
    )
    mfa_required_at = models.DateTimeField(
        null=True, editable=False, help_text="When `mfa` last became `required`. Grace periods begin at a later login."
    )
    is_builtin = models.BooleanField(_("built in"), default=False, editable=False)

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")

    def __str__(self) -> str:
        return self.name

    @property
    def is_admin(self) -> bool:
        return self.name == ADMIN
