"""The metrics of email delivery, counted by the process that sends; usermanager.metrics serves them."""

from django.utils import timezone
from prometheus_client import Counter, Histogram

from notifications.models import OutboxMail

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800, 86400)

attempts_total = Counter("mail_tries", "Attempts to deliver an email.", ["kind", "outcome"])
delivery_seconds = Histogram("mail_delivery_seconds", "Time from the request to the mail server.", buckets=BUCKETS)


def count_attempt(mail: OutboxMail, outcome: str) -> None:
    """Counts an attempt; its `outcome` is sent, failed, postponed, held or cancelled."""
    attempts_total.labels(mail.kind, outcome).inc()


def count_sent(mail: OutboxMail) -> None:
    count_attempt(mail, "sent")
    delivery_seconds.observe((timezone.now() - mail.created_at).total_seconds())
