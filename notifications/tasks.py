"""The Celery tasks. Their arguments are ids; whatever they are run on, and however often, the outbox decides."""

from uuid import UUID

from celery import shared_task

from notifications import delivery


@shared_task(
    name="notifications.deliver",
    ignore_result=True,  # the row of the outbox is the result
    store_errors_even_if_ignored=True,
    acks_late=True,
    reject_on_worker_lost=True,
)
def deliver(mail_id: str) -> None:
    """Delivers one mail of the outbox, if that is still to be done."""
    delivery.deliver(UUID(mail_id))
