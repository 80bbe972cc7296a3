"""Gives an email to the broker within 100 ms or not at all; the relay of this machine delivers what it does not take.

Celery's own publishing waits up to 6 s for a broker that is down or silent, for ever for one without memory, and
without a limit for the DNS. So one thread of each process uses the broker, over one connection, and a caller waits
80 ms for that thread, even if it is busy. The broker has to confirm. After a failure the process pauses for a while.
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

from notifications.models import Queue
from notifications.sending import wake_up

TASK = "notifications.deliver"  # by its name: the task imports this package
QUEUES = {Queue.NOW: "mail.now.v1", Queue.BULK: "mail.bulk.v1"}
WAIT_SECONDS = 0.08
STEP_SECONDS = 2.0  # the thread's own timeout to connect, read and write; its callers wait for WAIT_SECONDS
PAUSE_SECONDS = 15.0
MAX_QUEUED = 500  # in a queue of the broker; further emails wait in the outbox, where they cost nothing
EXPIRATION_SECONDS = 600  # of a message: by then the relay has delivered the email

log = logging.getLogger(__name__)
T = TypeVar("T")

_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publisher")
_connection: Connection | None = None  # used by the thread alone
_lock = threading.Lock()
_broken_until = 0.0


def dispatch(mail_id: UUID, queue: str) -> None:
    """Gives the email to the broker, or else wakes the relay. Must be called after the row is committed.

    Bulk emails go through the relay, which gives the broker as many as fit its queue.
    """
    if queue == Queue.BULK:
        wake_up.notify_relay()
    elif not publish(mail_id, queue):
        wake_up.notify_relay(mail_id)


def publish(mail_id: UUID, queue: str) -> bool:
    """Returns whether the broker has confirmed the email's id. On False it may have it, too: only one claim wins."""
    return bool(_ask(lambda: _publish(mail_id, queue)))


def free_capacity(queue: str) -> int | None:
    """Returns how many more emails the broker's queue may get; None if it has no consumer or the broker fails."""
    return _ask(lambda: _free_capacity(queue))


def _ask(call: Callable[[], T]) -> T | None:
    """Runs the call in the thread; returns None if the broker has failed lately, fails, or doesn't answer in time."""
    if not _begin_attempt():
        return None
    answer = _executor.submit(_run, call)
    try:
        return answer.result(WAIT_SECONDS)
    except TimeoutError:
        if not answer.cancel():  # a cancelled call had not begun: the thread was busy
            _mark_broken(f"no answer within {WAIT_SECONDS} s")
        return None


def _run(call: Callable[[], T]) -> T | None:
    """Runs the call in the thread, and stores whether the broker works, even if the caller no longer waits."""
    try:
        found = call()
    except Exception as error:  # noqa: BLE001 - on a malformed frame py-amqp raises anything
        _disconnect()
        _mark_broken(f"{type(error).__name__} {error}")
        return None
    _mark_working()
    return found


def _publish(mail_id: UUID, queue: str) -> bool:
    """Only `mandatory` detects a deleted queue, and only `confirm_timeout` a broker that accepts nothing."""
    options: dict[str, Any] = {
        "task_id": str(mail_id),
        "queue": QUEUES[Queue(queue)],
        "connection": _connect(),
        "retry": False,
        "ignore_result": True,
        "mandatory": True,
        "confirm_timeout": STEP_SECONDS,
        "expiration": EXPIRATION_SECONDS,
    }
    current_app.send_task(TASK, (str(mail_id),), **options)
    return True


def _free_capacity(queue: str) -> int | None:
    bound = current_app.amqp.queues[QUEUES[Queue(queue)]](_connect().default_channel)
    declared: Any = bound.queue_declare()  # creates a deleted queue, and counts its messages
    return max(0, MAX_QUEUED - declared.message_count) if declared.consumer_count else None


def _connect() -> Connection:
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
        # py-amqp ignores the socket's own timeouts (EAGAIN) and reads on; the timeout of Python's socket ends it.
        _connection.connection.transport.sock.settimeout(STEP_SECONDS)
    return _connection


def _begin_attempt() -> bool:
    """Returns whether to use the broker now. After a pause one caller alone gets True, and a new pause begins."""
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


def _mark_working() -> None:
    global _broken_until
    if _broken_until:
        _broken_until = 0.0
        log.warning("the broker is back")


def _mark_broken(reason: str) -> None:
    global _broken_until
    with _lock:
        _broken_until = time.monotonic() + PAUSE_SECONDS
    log.warning("the broker failed and is not used for %.0f s: %s", PAUSE_SECONDS, reason)


def _disconnect() -> None:
    """Closes the socket without AMQP's farewell, for which the thread would wait on a hung broker."""
    global _connection
    connection, _connection = _connection, None
    if connection:
        connection.collect()
