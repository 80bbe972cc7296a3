"""manage.py relay: delivers pending emails until it is stopped."""

import signal
from typing import Any

from django.core.management.base import CommandParser

from accounts.management import arguments
from accounts.management.base import ExampleCommand
from notifications.sending.relay import THREADS, Relay


class Command(ExampleCommand):
    help = (
        "Delivers pending emails, or gives them to the broker if there is one, and deletes expired rows. "
        "One relay is enough; any number may run. `manage.py serve` runs one."
    )
    example = "relay --threads 8"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--threads", type=arguments.count, default=THREADS, help="emails sent at the same time (%(default)s)"
        )

    def handle(self, *_arguments: Any, threads: int, **_options: Any) -> None:
        relay = Relay(threads=threads)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        relay.run()
