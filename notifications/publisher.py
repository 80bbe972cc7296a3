"""Hands a mail to the broker within 100 ms or not at all; what it does not take, the relay of this machine does.

Celery's own publishing waits up to 6 s for a broker that is down or silent, and for ever for one without memory. Here
each thread has a connection of its own whose every step may take 80 ms, the broker has to confirm, and after a failure
the whole process leaves the broker alone for a while.
"""

import logging
import threading
import time
from typing import Any, cast
from uuid import UUID

from amqp.exceptions import AMQPError
from celery import current_app
from django.conf import settings
from kombu import Connection
from kombu.exceptions import KombuError

from notifications import doorbell, tasks
from notifications.models import Queue

QUEUES = {Queue.NOW: "mail.now.v1", Queue.BULK: "mail.bulk.v1"}
STEP_SECONDS = 0.08
PAUSE_SECONDS = 15.0
MOST_WAITING = 500  # in a queue of the broker; what is behind them waits in the outbox, where it costs nothing
EXPIRATION_SECONDS = 600  # a message that nobody took is of no use: the relay has delivered the mail by then
FAULTS = (OSError, AMQPError, KombuError, AttributeError)  # the last one is py-amqp's for a connection that went away

log = logging.getLogger(__name__)
_thread = threading.local()
_lock = threading.Lock()
_broken_until = 0.0
_generation = 0


def dispatch(mail_id: UUID, queue: str) -> None:
    """Puts a mail on its way, whose row stands in the database for certain: call it when that is committed.

    What is sent to many goes through the relay, which gives the broker as much as it can take.
    """
    if queue == Queue.BULK:
        doorbell.ring()
    elif not publish(mail_id, queue):
        doorbell.ring(mail_id)


def publish(mail_id: UUID, queue: str) -> bool:
    """Whether the broker has the mail's id. It may have it even if not: then it is delivered once all the same."""
    if not _may_try():
        return False
    try:
        tasks.deliver.apply_async((str(mail_id),), **_options(mail_id, queue))
    except FAULTS as fault:
        _fail(fault)
        return False
    _succeed()
    return True


def room(queue: str) -> int | None:
    """How many more mails the broker's queue may be given; None when nobody would take them out again."""
    if not _may_try():
        return None
    try:
        bound = current_app.amqp.queues[QUEUES[Queue(queue)]](_connection().default_channel)
        declared: Any = bound.queue_declare()  # makes it if somebody deleted it, and counts
    except FAULTS as fault:
        _fail(fault)
        return None
    _succeed()
    return max(0, MOST_WAITING - declared.message_count) if declared.consumer_count else None


def _options(mail_id: UUID, queue: str) -> dict[str, Any]:
    """`mandatory` alone notices a queue that was deleted, and `confirm_timeout` a broker that takes nothing in."""
    return {
        "task_id": str(mail_id),
        "queue": QUEUES[Queue(queue)],
        "connection": _connection(),
        "retry": False,
        "mandatory": True,
        "confirm_timeout": STEP_SECONDS,
        "expiration": EXPIRATION_SECONDS,
    }


def _connection() -> Connection:
    """This thread's; one that was opened before the last failure is not trusted."""
    if getattr(_thread, "generation", None) != _generation:
        _drop()
        _thread.connection = _connect()
        _thread.generation = _generation
    return cast(Connection, _thread.connection)


def _connect() -> Connection:
    connection = current_app.connection_for_write(
        settings.CELERY_BROKER_URL,
        connect_timeout=STEP_SECONDS,
        transport_options={
            "confirm_publish": True,
            "max_retries": 0,
            "read_timeout": STEP_SECONDS,
            "write_timeout": STEP_SECONDS,
        },
    )
    connection.ensure_connection(max_retries=0)
    # py-amqp goes on reading when the socket's own limits pass (EAGAIN); Python's limit does end it.
    connection.connection.transport.sock.settimeout(STEP_SECONDS)
    return connection


def _may_try() -> bool:
    """Whether there is a broker that did not fail lately. When the pause is over, one thread alone tries it."""
    global _broken_until
    if not settings.CELERY_BROKER_URL:
        return False
    if not _broken_until:
        return True
    with _lock:
        now = time.monotonic()
        if now < _broken_until:
            return False
        _broken_until = now + PAUSE_SECONDS
        return True


def _succeed() -> None:
    global _broken_until
    if _broken_until:
        _broken_until = 0.0
        log.warning("the broker is back")


def _fail(fault: Exception) -> None:
    global _broken_until, _generation
    with _lock:
        _broken_until = time.monotonic() + PAUSE_SECONDS
        _generation += 1
    _drop()
    log.warning("the broker failed and is left alone for %.0f s: %s %s", PAUSE_SECONDS, type(fault).__name__, fault)


def _drop() -> None:
    """Closes the socket without a word, for which a hung broker would keep us waiting."""
    connection: Connection | None = getattr(_thread, "connection", None)
    _thread.connection = _thread.generation = None
    if connection:
        connection.collect()
