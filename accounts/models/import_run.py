"""How far an import of users has come, so that one that was stopped goes on where it was."""

from django.db import models
from django.utils import timezone


class ImportRun(models.Model):
    """Written in the transaction of each batch, and deleted at the end of the import."""

    fingerprint = models.CharField(primary_key=True, max_length=64, help_text="SHA-256 of the file and the options.")
    lines = models.PositiveBigIntegerField(default=0, help_text="How many records of the file are done.")
    report_bytes = models.PositiveBigIntegerField(default=0, help_text="How much of the report belongs to these.")
    tally = models.JSONField(default=dict)
    started_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.fingerprint
