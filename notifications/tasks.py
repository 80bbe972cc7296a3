"""The Celery task. Its argument is an id: it may run at any time and any number of times, as the outbox decides."""

from uuid import UUID

from celery import shared_task

from notifications.sending import delivery


@shared_task(
    name="notifications.deliver",
    ignore_result=True,  # the row of the outbox holds the outcome
    store_errors_even_if_ignored=True,
    acks_late=True,
    reject_on_worker_lost=True,
)
def deliver(mail_id: str) -> None:
    """Delivers an email of the outbox if it is still pending."""
    delivery.deliver(UUID(mail_id))
