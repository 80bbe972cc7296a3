"""Shortens what the product waits for, in each process that runs on tests.faults.settings."""

from datetime import timedelta

from django.apps import AppConfig

DIVISOR = 6


class Hurry(AppConfig):
    name = "tests.faults"

    def ready(self) -> None:
        from notifications import delivery, hold, mail_server, outbox, publisher  # noqa: PLC0415 - the models must stand first

        outbox.LEASE /= DIVISOR
        outbox.ON_ITS_WAY /= DIVISOR
        outbox.HANDED_OVER /= DIVISOR
        outbox.FIRST_PAUSE = timedelta(seconds=0.5)
        hold.FIRST_PAUSE = timedelta(seconds=0.5)
        hold.LONGEST_PAUSE = timedelta(seconds=1)
        delivery.SETTLING /= DIVISOR
        mail_server.CONVERSATION_SECONDS /= DIVISOR
        mail_server.IDLE_SECONDS /= DIVISOR
        publisher.PAUSE_SECONDS /= DIVISOR
