"""What is counted of mails in the process that sends them; usermanager.metrics shows it, with what the outbox says."""

from django.utils import timezone
from prometheus_client import Counter, Histogram

from notifications.models import OutboxMail

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800, 86400)

tries_total = Counter("mail_tries", "Tries to deliver a mail.", ["kind", "outcome"])
delivery_seconds = Histogram("mail_delivery_seconds", "Time from owed to sent.", buckets=BUCKETS)


def count_try(mail: OutboxMail, outcome: str) -> None:
    """`outcome` is sent, failed, postponed or cancelled."""
    tries_total.labels(mail.kind, outcome).inc()


def count_sent(mail: OutboxMail) -> None:
    count_try(mail, "sent")
    delivery_seconds.observe((timezone.now() - mail.created_at).total_seconds())
