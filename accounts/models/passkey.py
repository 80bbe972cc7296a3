"""A passkey: the public half of a WebAuthn credential of a user."""

from django.db import models
from django.utils import timezone

from accounts.models.identifiers import new_id
from accounts.models.user import User
from accounts.validators import FACTOR_NAME_MAX_LENGTH


class Passkey(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="passkeys")
    name = models.CharField(max_length=FACTOR_NAME_MAX_LENGTH)
    credential_id = models.BinaryField(max_length=1023, unique=True)
    public_key = models.BinaryField(max_length=2048, help_text="As COSE key.")
    sign_count = models.PositiveBigIntegerField(default=0, help_text="The authenticator's counter at the last use.")
    transports = models.JSONField(default=list, blank=True)
    may_sync = models.BooleanField(help_text="The flag BE of the registration. It never changes.")
    is_synced = models.BooleanField(help_text="The flag BS of the last use.")
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.id)
