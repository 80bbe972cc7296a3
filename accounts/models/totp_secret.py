"""A TOTP secret: what an authenticator app computes its six digits from. Encrypted with ENCRYPTION_KEYS."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models.identifiers import new_id
from accounts.models.user import User
from accounts.validators import FACTOR_NAME_MAX_LENGTH

#: The id of the key that encrypts a secret, in the database: the same bytes as encryption.key_id() returns.
KEY_ID = models.Func(
    models.F("secret"),
    function="substr",
    template="%(function)s(%(expressions)s, 2, 4)",
    output_field=models.BinaryField(),
)


class TotpSecret(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="totp_secrets")
    name = models.CharField(max_length=FACTOR_NAME_MAX_LENGTH)
    secret = models.BinaryField(max_length=128, help_text="Encrypted; bound to the ids of this row and of its user.")
    last_step = models.BigIntegerField(
        default=0, help_text="The time step (30 s) of the last accepted code. Only later steps are accepted."
    )
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True, help_text="Null while the enrolment is not finished.")
    expires_at = models.DateTimeField(help_text="When an enrolment that is not finished ends.")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["user"], condition=Q(confirmed_at__isnull=False), name="totp_secret_one_per_user"
            ),
        )
        indexes = (models.Index(KEY_ID, "id", name="totp_secret_key"),)

    def __str__(self) -> str:
        return str(self.id)
