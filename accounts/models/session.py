"""A session: one sign-in on one device, and how often its refresh token was exchanged."""

from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.identifiers import new_id
from accounts.models.user import User


class SessionQuerySet(models.QuerySet["Session"]):
    def alive(self) -> "SessionQuerySet":
        now = timezone.now()
        return self.filter(revoked_at=None, expires_at__gt=now, idle_expires_at__gt=now)


class Session(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="sessions", verbose_name=_("user"), db_index=False
    )
    generation = models.PositiveIntegerField(default=0, help_text="How often the refresh token was exchanged.")
    rotations = models.JSONField(default=list, help_text="When, in epoch seconds, within the last grace period.")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    last_used_at = models.DateTimeField(_("last used"), default=timezone.now)
    expires_at = models.DateTimeField(_("ends"), help_text="Never later, however often it is used.")
    idle_expires_at = models.DateTimeField(help_text="When it ends unless it is used.")
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    ip = models.GenericIPAddressField(_("address"), null=True, blank=True)
    is_moving = models.BooleanField(default=False, help_text="Its user asked for another address here.")
    user_agent = models.CharField(_("device"), max_length=256, blank=True, default="")

    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        indexes = (
            models.Index(fields=["user", "id"], name="session_user"),
            models.Index(fields=["expires_at"], name="session_expires"),
        )

    def __str__(self) -> str:
        return str(self.id)

    @property
    def ends_at(self) -> datetime:
        """When it ends if it is not used again."""
        return min(self.expires_at, self.idle_expires_at)

    @property
    def is_alive(self) -> bool:
        return self.revoked_at is None and self.ends_at > timezone.now()
