"""A WebAuthn challenge that was used. Challenges themselves are not stored; see accounts.mfa.challenges."""

from django.db import models


class SpentChallenge(models.Model):
    digest = models.CharField(max_length=64, primary_key=True, help_text="SHA-256 of the challenge.")
    expires_at = models.DateTimeField(db_index=True, help_text="When the challenge itself expires.")

    def __str__(self) -> str:
        return self.digest
