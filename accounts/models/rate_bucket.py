"""How often something was tried since its window began."""

from django.db import models


class RateBucket(models.Model):
    key = models.CharField(primary_key=True, max_length=64, help_text="HMAC of the limit's scope and value.")
    subject = models.CharField(max_length=64, blank=True, default="", help_text="HMAC of the account it is about.")
    hits = models.PositiveIntegerField()
    resets_at = models.BigIntegerField(help_text="Epoch milliseconds.")
    noted = models.BooleanField(default=False, help_text="Whether a refusal in this window was written down.")

    class Meta:
        indexes = (
            models.Index(fields=["subject"], name="bucket_subject"),
            models.Index(fields=["resets_at"], name="bucket_resets"),
        )

    def __str__(self) -> str:
        return self.key
