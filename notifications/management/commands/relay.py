"""manage.py relay: sees to it that every mail that is owed goes out, until it is stopped."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from notifications.relay import THREADS, Relay


class Command(BaseCommand):
    help = (
        "Delivers what is owed, or hands it to the broker where there is one, and does the housekeeping. "
        "Run one on every host, or just one: `manage.py serve` does. Example: python manage.py relay --threads 8"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=THREADS, help="mails sent at once (default: %(default)s)")

    def handle(self, *arguments: Any, threads: int, **options: Any) -> None:
        relay = Relay(threads=max(1, threads))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        relay.run()
