"""A recovery code: replaces the second factor once. The database stores only its hash."""

from django.db import models

from accounts.models.user import User


class RecoveryCode(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes", db_index=False)
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the code without dashes.")
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_of_user"),)

    def __str__(self) -> str:
        return str(self.pk)
