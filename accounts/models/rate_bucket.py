"""The counter of a rate limit: the attempts since its window began."""

from django.db import models


class RateBucket(models.Model):
    key = models.CharField(primary_key=True, max_length=64, help_text="HMAC of the limit's name and the attempt's key.")
    subject = models.CharField(
        max_length=64, blank=True, default="", help_text="HMAC of the account that the attempt is about."
    )
    hits = models.PositiveIntegerField()
    resets_at = models.BigIntegerField(help_text="When the window ends, in epoch milliseconds.")
    noted = models.BooleanField(
        default=False, help_text="Whether an audit event has recorded a rejected attempt of this window."
    )

    class Meta:
        indexes = (
            models.Index(fields=["subject"], name="bucket_subject"),
            models.Index(fields=["resets_at"], name="bucket_resets"),
        )

    def __str__(self) -> str:
        return self.key
