"""The progress of an import of users, so that an interrupted import can resume."""

from django.db import models
from django.utils import timezone


class ImportRun(models.Model):
    """Written in the transaction of each batch, and deleted at the end of the import."""

    fingerprint = models.CharField(primary_key=True, max_length=64, help_text="SHA-256 of the file and the options.")
    lines = models.PositiveBigIntegerField(default=0, help_text="The number of records of the file that are done.")
    report_bytes = models.PositiveBigIntegerField(default=0, help_text="The length of the report on these records.")
    tally = models.JSONField(default=dict)
    started_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.fingerprint
