"""A role: a named set of permissions; every user has one."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts import roles
from accounts.models.identifiers import new_id


class Role(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=roles.NAME_LENGTH, unique=True)
    description = models.CharField(_("description"), max_length=250, blank=True, default="")
    permissions = models.JSONField(_("permissions"), default=list, blank=True)
    permissions_gained_at = models.DateTimeField(
        null=True, editable=False, help_text="Links mailed before it to users who have the role do not work any more."
    )
    is_builtin = models.BooleanField(_("built in"), default=False, editable=False)

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")

    def __str__(self) -> str:
        return self.name

    @property
    def is_admin(self) -> bool:
        return self.name == roles.ADMIN
