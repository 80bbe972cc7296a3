"""Shortens leases, pauses and timeouts in each process that uses tests.faults.settings."""

from datetime import timedelta

from django.apps import AppConfig

DIVISOR = 6


class ShortTimeouts(AppConfig):
    name = "tests.faults"

    def ready(self) -> None:
        from notifications import outbox  # noqa: PLC0415 - needs the models
        from notifications.sending import delivery, hold, publisher, retries, smtp  # noqa: PLC0415 - need the models

        outbox.LEASE /= DIVISOR
        outbox.FRESH_LEASE /= DIVISOR
        outbox.BROKER_LEASE /= DIVISOR
        retries.FIRST_PAUSE = timedelta(seconds=0.5)
        hold.FIRST_PAUSE = timedelta(seconds=0.5)
        hold.MAX_PAUSE = timedelta(seconds=1)
        delivery.MARKING_TIME /= DIVISOR
        smtp.CONVERSATION_SECONDS /= DIVISOR
        smtp.IDLE_SECONDS /= DIVISOR
        publisher.PAUSE_SECONDS /= DIVISOR
