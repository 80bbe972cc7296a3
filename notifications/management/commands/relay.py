"""manage.py relay: sees to it that every mail that is owed goes out, until it is stopped."""

import signal
from typing import Any

from django.core.management.base import CommandParser

from accounts.management import arguments
from accounts.management.base import ExampleCommand
from notifications.relay import THREADS, Relay


class Command(ExampleCommand):
    help = (
        "Delivers the mails that are owed or, where there is a broker, sees to it that a worker does; and does the "
        "housekeeping. One is enough, and any number may run. `manage.py serve` runs one."
    )
    example = "relay --threads 8"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=arguments.count, default=THREADS, help="mails sent at once (%(default)s)")

    def handle(self, *_arguments: Any, threads: int, **_options: Any) -> None:
        relay = Relay(threads=threads)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        relay.run()
