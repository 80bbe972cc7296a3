"""An audit event: who did what to whom, when and from where."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.identifiers import new_id


class AuditEvent(models.Model):
    """People are named by id alone, so that an event may outlive them."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("kind"), max_length=40)
    user_id = models.UUIDField(_("user"), null=True, blank=True)
    actor_id = models.UUIDField(_("actor"), null=True, blank=True)
    created_at = models.DateTimeField(_("time"), default=timezone.now)
    ip = models.GenericIPAddressField(_("address"), null=True, blank=True)
    user_agent = models.CharField(_("device"), max_length=256, blank=True, default="")
    request_id = models.CharField(_("request"), max_length=64, blank=True, default="")
    data = models.JSONField(_("details"), default=dict)

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        indexes = (
            models.Index(fields=["user_id", "id"], name="audit_user"),
            models.Index(fields=["actor_id", "id"], name="audit_actor"),
            models.Index(fields=["kind", "id"], name="audit_kind"),
            models.Index(fields=["created_at"], name="audit_created"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d %H:%M:%S}"
