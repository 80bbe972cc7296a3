"""The relay takes up what is owed and not on its way: without a broker it delivers, with one it sees to the rest.

Any number may run, on any number of hosts: what each does begins with a conditional UPDATE that only one of them wins.
"""

import io
import logging
import time
from uuid import UUID

from django.conf import settings
from django.core.management import call_command
from django.db import Error, close_old_connections

from accounts.signals import time_passed
from notifications import outbox, publisher
from notifications.crew import Crew
from notifications.doorbell import Doorbell
from notifications.models import Queue
from notifications.outbox import Due

THREADS = 4
ROUND_SECONDS = 1.0
MOST_AT_ONCE = 1000
HOUSEKEEPING_SECONDS = 300.0

log = logging.getLogger(__name__)


class Relay:
    def __init__(self, *, threads: int = THREADS) -> None:
        self._doorbell = Doorbell()
        self._crew = Crew(threads, on_room=self._doorbell.nudge)
        self._is_stopping = False
        self._housekeeping_at = time.monotonic() + HOUSEKEEPING_SECONDS

    def run(self) -> None:
        """Works until stop() is called; then lets the mails that are being sent go out."""
        log.info("the relay is ready")
        try:
            while not self._is_stopping:
                self._round(self._doorbell.wait(ROUND_SECONDS))
        finally:
            self._crew.close()
            self._doorbell.close()

    def stop(self) -> None:
        """May be called from the handler of a signal."""
        self._is_stopping = True
        self._doorbell.nudge()

    def _round(self, rung: list[UUID]) -> None:
        """What somebody rang for goes first: the broker did not take it, or there is none."""
        for mail_id in rung:
            self._crew.offer(mail_id)
        try:
            close_old_connections()
            sweep(self._crew)
            time_passed.send(sender=Relay)
            self._keep_house()
        except Error as fault:
            log.error("the database failed; the relay goes on in a second: %s", fault)
            time.sleep(ROUND_SECONDS)

    def _keep_house(self) -> None:
        if time.monotonic() < self._housekeeping_at:
            return
        self._housekeeping_at = time.monotonic() + HOUSEKEEPING_SECONDS
        call_command("prune", stdout=io.StringIO())


def sweep(crew: Crew) -> None:
    """Takes up what is due: the broker gets what it has room for, the crew what the broker cannot or did not do."""
    due = outbox.due(MOST_AT_ONCE if settings.CELERY_BROKER_URL else crew.room + crew.in_hand)
    for mail in _hand_over(due) if settings.CELERY_BROKER_URL else due:
        if not crew.offer(mail.id):
            break


def _hand_over(due: list[Due]) -> list[Due]:
    """Gives the broker what it can take, and returns what is left to be delivered here."""
    here = [mail for mail in due if mail.is_overdue]
    for queue in Queue.values:
        fresh = [mail for mail in due if mail.queue == queue and not mail.is_overdue]
        room = publisher.room(queue) if fresh else 0
        here += fresh if room is None else _publish(outbox.hand_over(fresh[:room]))
    return here


def _publish(mails: list[Due]) -> list[Due]:
    """Returns those that the broker did not take."""
    for number, mail in enumerate(mails):
        if not publisher.publish(mail.id, mail.queue):
            outbox.take_back(mails[number:])
            return mails[number:]
    return []
