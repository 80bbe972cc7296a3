"""A pending login: the password was right, and the second factor is missing or has to be enrolled. Never a session."""

from django.db import models
from django.utils import timezone

from accounts.models.identifiers import new_id
from accounts.models.user import User


class PendingLogin(models.Model):
    class Purpose(models.TextChoices):
        LOGIN = "login"  # the client proves the second factor
        ENROLMENT = "enrolment"  # the user has to enrol a second factor first

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="pending_logins")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    digest = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of the mfa_token.")
    password_mark = models.BinaryField(
        max_length=32, help_text="HMAC of the stored password hash: another password ends the pending login."
    )
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How many proofs were counted.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.id)
