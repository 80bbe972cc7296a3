"""A one-time token: proves that a user reads the emails of an address."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.email_addresses import ADDRESS_LENGTH
from accounts.models.identifiers import new_id
from accounts.models.user import User


class Purpose(models.TextChoices):
    VERIFY_EMAIL = "verify_email"
    PASSWORD_RESET = "password_reset"  # noqa: S105
    EMAIL_CHANGE = "email_change"
    INVITATION = "invitation"
    SECOND_FACTOR = "second_factor"


class OneTimeTokenQuerySet(models.QuerySet["OneTimeToken"]):
    def not_ended(self) -> "OneTimeTokenQuerySet":
        """Returns the tokens, used or not, that haven't expired, haven't ended, and were created after the user's role
        last gained permissions.

        The role stores that time. Without it, a change of the role would write the tokens of all its users.
        """
        gained_at = "user__role__permissions_gained_at"
        is_newer = Q(**{gained_at: None}) | Q(**{f"{gained_at}__lt": F("created_at")})
        return self.filter(is_newer, ended_at=None, expires_at__gt=timezone.now())


class OneTimeToken(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="one_time_tokens")
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    email = models.CharField(
        max_length=ADDRESS_LENGTH, help_text="The address that the email goes to, as the user wrote it."
    )
    request = models.UUIDField(help_text="The request for the link. All attempts to send its email share this.")
    digest = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of the secret.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="When a newer request or another change ended it.")

    objects = OneTimeTokenQuerySet.as_manager()

    class Meta:
        indexes = (
            models.Index(fields=["user", "purpose"], name="token_user_purpose"),
            models.Index(fields=["expires_at"], name="token_expires"),
        )

    def __str__(self) -> str:
        return f"{self.purpose} {self.id}"
