"""The relay: delivers pending emails, or gives them to the broker and delivers what no worker claims in time.

Any number may run, on any number of hosts: each step begins with a conditional UPDATE that only one of them wins.
"""

import logging
import time
from uuid import UUID

from django.conf import settings
from django.db import Error, close_old_connections

from accounts import database_errors
from accounts.signals import time_passed
from notifications import outbox
from notifications.housekeeping import Housekeeper
from notifications.models import Queue
from notifications.outbox import Due
from notifications.sending import hold, publisher
from notifications.sending.commit_mode import asynchronous_commit
from notifications.sending.wake_up import WakeUpSocket
from notifications.sending.worker_pool import WorkerPool

THREADS = 4
ROUND_SECONDS = 1.0
BATCH_SIZE = 1000

log = logging.getLogger(__name__)


class Relay:
    """The main loop. Each queue has its own worker pool, so bulk emails never delay the others."""

    def __init__(self, *, threads: int = THREADS) -> None:
        self._wake_up = WakeUpSocket()
        self._pools = {queue: WorkerPool(threads, on_half_free=self._wake_up.interrupt) for queue in Queue}
        self._housekeeper = Housekeeper()
        self._is_stopping = False

    def run(self) -> None:
        """Works until stop() is called, then waits for the emails that are being sent."""
        log.info("the relay is ready")
        try:
            self._probe_soon()
            while not self._is_stopping:
                self._round(self._wake_up.wait(ROUND_SECONDS))
        finally:
            self._housekeeper.shut_down()
            for pool in self._pools.values():
                pool.shut_down()
            for pool in self._pools.values():
                pool.wait()
            self._wake_up.close()

    def stop(self) -> None:
        """Ends run(). May be called from a signal handler."""
        self._is_stopping = True
        self._wake_up.interrupt()

    def _probe_soon(self) -> None:
        """Ends the pause of a hold: the operator may have changed the settings before this start."""
        try:
            hold.probe_soon()
        except Error as error:
            log.error("the database failed; the relay starts anyway: %s", error)

    def _round(self, notified: list[UUID]) -> None:
        """Offers notified emails first: the broker did not take them, or there is none."""
        for mail_id in notified:
            self._pools[Queue.NOW].offer(mail_id)
        try:
            close_old_connections()
            if held := hold.current():  # then no email but the probe can be claimed
                if probe := hold.choose_probe(held):
                    self._pools[Queue(probe.queue)].offer(probe.pk)
            else:
                for queue, pool in self._pools.items():
                    sweep(queue, pool)
            time_passed.send(sender=Relay)
        except Error as error:
            database_errors.drop_if_read_only(error)
            log.error("the database failed; the relay continues in a second: %s", error)
            time.sleep(ROUND_SECONDS)


def sweep(queue: Queue, pool: WorkerPool) -> None:
    """Sends due emails: gives the broker what fits its queue, and the pool what the broker doesn't take."""
    due = outbox.due(queue, BATCH_SIZE if settings.CELERY_BROKER_URL else pool.capacity)
    for mail in _give_to_broker(queue, due) if settings.CELERY_BROKER_URL else due:
        if not pool.offer(mail.id):
            break


def _give_to_broker(queue: Queue, due: list[Due]) -> list[Due]:
    """Gives the broker what it can take; returns the emails to be delivered here."""
    overdue = [mail for mail in due if mail.is_overdue]
    fresh = [mail for mail in due if not mail.is_overdue]
    room = publisher.free_capacity(queue) if fresh else 0
    if room is None:
        return overdue + fresh
    with asynchronous_commit():  # after a power cut the relay gives them to the broker again
        leased = outbox.lease_to_broker(fresh[:room])
    return overdue + _publish(queue, leased)


def _publish(queue: Queue, mails: list[Due]) -> list[Due]:
    """Publishes the emails; returns the emails that the broker did not take."""
    for number, mail in enumerate(mails):
        if not publisher.publish(mail.id, queue):
            outbox.release(mails[number:])
            return mails[number:]
    return []
