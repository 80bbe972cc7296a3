"""The relay takes up what is owed and not on its way: without a broker it delivers, with one it sees to the rest.

Any number may run, on any number of hosts: what each does begins with a conditional UPDATE that only one of them wins.
"""

import logging
import time
from uuid import UUID

from django.conf import settings
from django.db import Error, close_old_connections

from accounts import database_errors
from accounts.signals import time_passed
from notifications import hold, outbox, publisher
from notifications.crew import Crew
from notifications.doorbell import Doorbell
from notifications.durability import unsynced
from notifications.housekeeping import Housekeeper
from notifications.models import DeliveryHold, Queue
from notifications.outbox import Due

THREADS = 4
ROUND_SECONDS = 1.0
MOST_AT_ONCE = 1000

log = logging.getLogger(__name__)


class Relay:
    """Each queue has a crew of its own: however many or slow the mails to many are, they stand in nobody's way."""

    def __init__(self, *, threads: int = THREADS) -> None:
        self._doorbell = Doorbell()
        self._crews = {queue: Crew(threads, on_room=self._doorbell.nudge) for queue in Queue}
        self._housekeeper = Housekeeper()
        self._is_stopping = False

    def run(self) -> None:
        """Works until stop() is called; then lets the mails that are being sent go out."""
        log.info("the relay is ready")
        try:
            self._begin()
            while not self._is_stopping:
                self._round(self._doorbell.wait(ROUND_SECONDS))
        finally:
            self._housekeeper.dismiss()
            for crew in self._crews.values():
                crew.dismiss()
            for crew in self._crews.values():
                crew.wait()
            self._doorbell.close()

    def stop(self) -> None:
        """May be called from the handler of a signal."""
        self._is_stopping = True
        self._doorbell.nudge()

    def _begin(self) -> None:
        """The settings may have changed since the mail server refused us."""
        try:
            hold.probe_soon()
        except Error as fault:
            log.error("the database failed; the relay begins all the same: %s", fault)

    def _round(self, rung: list[UUID]) -> None:
        """What somebody rang for goes first: the broker did not take it, or there is none."""
        for mail_id in rung:
            self._crews[Queue.NOW].offer(mail_id)
        try:
            close_old_connections()
            if held := hold.current():
                self._probe(held)
            else:
                for queue, crew in self._crews.items():
                    sweep(queue, crew)
            time_passed.send(sender=Relay)
        except Error as fault:
            database_errors.drop_if_read_only(fault)
            log.error("the database failed; the relay goes on in a second: %s", fault)
            time.sleep(ROUND_SECONDS)

    def _probe(self, held: DeliveryHold) -> None:
        """Nothing but the probe could be claimed."""
        if probe := hold.choose_probe(held):
            self._crews[Queue(probe.queue)].offer(probe.pk)


def sweep(queue: Queue, crew: Crew) -> None:
    """Takes up what is due: the broker gets what it has room for, the crew what the broker cannot or did not do."""
    due = outbox.due(queue, MOST_AT_ONCE if settings.CELERY_BROKER_URL else crew.places)
    for mail in _hand_over(queue, due) if settings.CELERY_BROKER_URL else due:
        if not crew.offer(mail.id):
            break


def _hand_over(queue: Queue, due: list[Due]) -> list[Due]:
    """Gives the broker what it can take, and returns what is left to be delivered here."""
    overdue = [mail for mail in due if mail.is_overdue]
    fresh = [mail for mail in due if not mail.is_overdue]
    room = publisher.room(queue) if fresh else 0
    if room is None:
        return overdue + fresh
    with unsynced():  # what a power cut makes us forget is handed over again
        handed = outbox.hand_over(fresh[:room])
    return overdue + _publish(queue, handed)


def _publish(queue: Queue, mails: list[Due]) -> list[Due]:
    """Returns those that the broker did not take."""
    for number, mail in enumerate(mails):
        if not publisher.publish(mail.id, queue):
            outbox.take_back(mails[number:])
            return mails[number:]
    return []
