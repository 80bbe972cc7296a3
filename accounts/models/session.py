"""A session: one login on one device. Its generation counts the exchanges of its refresh token."""

from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.identifiers import new_id
from accounts.models.user import User


class SessionQuerySet(models.QuerySet["Session"]):
    def active(self) -> "SessionQuerySet":
        """Returns the sessions that have neither expired nor been revoked."""
        now = timezone.now()
        return self.filter(revoked_at=None, expires_at__gt=now, idle_expires_at__gt=now)


class Session(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="sessions", verbose_name=_("user"), db_index=False
    )
    generation = models.PositiveIntegerField(default=0, help_text="How often the refresh token was exchanged.")
    rotations = models.JSONField(default=list, help_text="Epoch seconds of the exchanges within the last grace period.")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    last_used_at = models.DateTimeField(_("last used"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), help_text="The latest time, however often the session is used.")
    idle_expires_at = models.DateTimeField(help_text="When the session expires unless it is used.")
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    ip = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    amr = models.CharField(
        max_length=64,
        default="pwd",
        db_default="pwd",
        help_text="What the user has proven here, as RFC 8176 names it, separated by spaces.",
    )
    stepped_up_at = models.DateTimeField(null=True, help_text="When the user last authenticated again in this session.")
    last_factor = models.UUIDField(
        null=True, help_text="The second factor of the last proof: the session ends when the factor is removed."
    )
    is_moving = models.BooleanField(
        default=False, help_text="The user requested an email change here; the session survives the change."
    )
    user_agent = models.CharField(_("device"), max_length=256, blank=True, default="")

    #: The claim `auth_time` of the access token by which a request named the session. None if it named it otherwise.
    token_auth_time: int | None = None
    #: The claim `acr` of that token. A token from before the session's second factor has the lower level.
    token_acr: str | None = None

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
        """Returns when the session expires if it isn't used again."""
        return min(self.expires_at, self.idle_expires_at)

    @property
    def methods(self) -> list[str]:
        """Returns what the user has proven in this session, for the claim `amr`."""
        return self.amr.split()

    @property
    def acr(self) -> str:
        """Returns the level of the proof: `aal2` with a second factor, else `aal1`."""
        return "aal2" if "mfa" in self.methods else "aal1"

    @property
    def authenticated_at(self) -> datetime:
        """Returns when the user last proved who they are in this session."""
        return self.stepped_up_at or self.created_at

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None and self.ends_at > timezone.now()
