"""Hands a mail to the broker within 100 ms or not at all; what it does not take, the relay of this machine does.

Celery's own publishing waits up to 6 s for a broker that is down or silent, for ever for one without memory, and for
its name as long as the resolver likes. So one thread of each process talks to the broker, over one connection, and
whoever has a mail waits 80 ms for that thread, whatever it is doing. The broker has to confirm; after a failure the
whole process leaves it alone for a while.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID

from celery import current_app
from django.conf import settings
from kombu import Connection

from notifications import doorbell, tasks
from notifications.models import Queue

QUEUES = {Queue.NOW: "mail.now.v1", Queue.BULK: "mail.bulk.v1"}
WAIT_SECONDS = 0.08
STEP_SECONDS = 2.0  # the thread's own patience with connecting, reading and writing: nobody waits for it meanwhile
PAUSE_SECONDS = 15.0
MOST_WAITING = 500  # in a queue of the broker; what is behind them waits in the outbox, where it costs nothing
EXPIRATION_SECONDS = 600  # a message that nobody took is of no use: the relay has delivered the mail by then

log = logging.getLogger(__name__)
T = TypeVar("T")

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publisher")
_connection: Connection | None = None  # the thread's alone
_lock = threading.Lock()
_broken_until = 0.0


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
    return bool(_wait_for(lambda: _publish(mail_id, queue)))


def room(queue: str) -> int | None:
    """How many more mails the broker's queue may be given; None when nobody would take them out again."""
    return _wait_for(lambda: _room(queue))


def _wait_for(talk: Callable[[], T]) -> T | None:
    """What the thread gets from the broker; None if that is broken, or says nothing in time."""
    if not _may_try():
        return None
    answer = _thread.submit(_guarded, talk)
    try:
        return answer.result(WAIT_SECONDS)
    except TimeoutError:
        if not answer.cancel():  # one that is cancelled had not begun, and says nothing of the broker
            _leave_alone(f"no answer within {WAIT_SECONDS} s")
        return None


def _guarded(talk: Callable[[], T]) -> T | None:
    """In the thread: also what nobody waits for any more tells whether the broker is well."""
    try:
        found = talk()
    except Exception as fault:  # noqa: BLE001 - py-amqp raises whatever a malformed frame leads to
        _drop()
        _leave_alone(f"{type(fault).__name__} {fault}")
        return None
    _trust()
    return found


def _publish(mail_id: UUID, queue: str) -> bool:
    """`mandatory` alone notices a queue that was deleted, and `confirm_timeout` a broker that takes nothing in."""
    options: dict[str, Any] = {
        "task_id": str(mail_id),
        "queue": QUEUES[Queue(queue)],
        "connection": _connected(),
        "retry": False,
        "mandatory": True,
        "confirm_timeout": STEP_SECONDS,
        "expiration": EXPIRATION_SECONDS,
    }
    tasks.deliver.apply_async((str(mail_id),), **options)
    return True


def _room(queue: str) -> int | None:
    bound = current_app.amqp.queues[QUEUES[Queue(queue)]](_connected().default_channel)
    declared: Any = bound.queue_declare()  # makes it if somebody deleted it, and counts
    return max(0, MOST_WAITING - declared.message_count) if declared.consumer_count else None


def _connected() -> Connection:
    global _connection
    if _connection is None:
        _connection = current_app.connection_for_write(
            settings.CELERY_BROKER_URL,
            connect_timeout=STEP_SECONDS,
            transport_options={
                "confirm_publish": True,
                "max_retries": 0,
                "read_timeout": STEP_SECONDS,
                "write_timeout": STEP_SECONDS,
            },
        )
        _connection.ensure_connection(max_retries=0)
        # py-amqp goes on reading when the socket's own limits pass (EAGAIN); Python's limit does end it.
        _connection.connection.transport.sock.settimeout(STEP_SECONDS)
    return _connection


def _may_try() -> bool:
    """Whether there is a broker that did not fail lately. When the pause is over, one caller alone tries it."""
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


def _trust() -> None:
    global _broken_until
    if _broken_until:
        _broken_until = 0.0
        log.warning("the broker is back")


def _leave_alone(reason: str) -> None:
    global _broken_until
    with _lock:
        _broken_until = time.monotonic() + PAUSE_SECONDS
    log.warning("the broker failed and is left alone for %.0f s: %s", PAUSE_SECONDS, reason)


def _drop() -> None:
    """Closes the socket without a word, for which a hung broker would keep us waiting."""
    global _connection
    connection, _connection = _connection, None
    if connection:
        connection.collect()
