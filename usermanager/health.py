"""Tells a load balancer whether this process lives and whether it can do its work."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import cache, lru_cache

import kombu
from django.conf import settings
from django.db import Error, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import database_errors
from accounts.api.errors import CONTENT_TYPE, problem
from accounts.api.negotiation import IgnoreAccept
from notifications import hold, outbox

RETRY_SECONDS = 5
DATABASE_SECONDS = 2.5
DATABASE_PERIOD_SECONDS = 1.0
BROKER_TIMEOUT_SECONDS = 0.5
BROKER_PERIOD_SECONDS = 10
DISK_FULL = "53100"  # PostgreSQL's code
LATE_AFTER = timedelta(minutes=10)

log = logging.getLogger(__name__)
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe")


class Probe:
    """Runs a check in a thread of its own, one at a time and once a period, whatever number of callers ask."""

    def __init__(self, check: Callable[[], str]) -> None:
        self._check, self._thread = check, ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe")
        self._lock = threading.Lock()
        self._answer: Future[str] | None = None
        self._expires = 0.0

    def ask(self, seconds: float) -> str:
        """What the check says. Raises TimeoutError when it does not return in time; it goes on, for later callers."""
        with self._lock:
            if self._answer is None or (self._answer.done() and time.monotonic() > self._expires):
                self._answer = self._thread.submit(self._run)
        return self._answer.result(seconds)

    def forget(self) -> None:
        self._answer = None

    def _run(self) -> str:
        try:
            return self._check()
        finally:
            self._expires = time.monotonic() + DATABASE_PERIOD_SECONDS


class Live(APIView):
    """The process answers; nothing else is looked at, so that a restart is never the cure for a database."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None

    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class Ready(APIView):
    """The database answers, takes writes and has the tables of this version.

    A broker that is down and mails that are late are named, and no reason to send people elsewhere.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None

    def get(self, request: Request) -> Response:
        checks = {"database": database(), "migrations": "unknown", "broker": broker(), "outbox": "unknown"}
        if checks["database"] == "down":
            faults = ["database"]  # the rest would have to ask it
        else:
            checks |= {"migrations": migrations(), "outbox": mails()}
            faults = [name for name in ("database", "migrations") if checks[name] != "ok"]
        if not faults:
            return Response({"status": "ok", **checks})
        document = problem("not_ready", 503, str(_("Not ready")), ", ".join(faults))
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return Response({**document, **checks}, 503, headers=headers, content_type=CONTENT_TYPE)


def database() -> str:
    """Whether it takes writes: "ok", "read-only", "full" or "down"."""
    try:
        return _probe.ask(DATABASE_SECONDS)
    except TimeoutError:
        return "down"


def _write() -> str:
    """Tries a write over a connection of its own, which needs no place in a pool and waits for no lock."""
    own = connection.copy(alias="probe")
    own.settings_dict["OPTIONS"].pop("pool", None)
    if own.vendor == "sqlite":
        own.settings_dict["OPTIONS"]["timeout"] = 0
    try:
        with closing(own), own.cursor() as cursor:
            cursor.execute(_WRITES[own.vendor])
    except Error as error:
        return _state(error)
    return "ok"


# SQLite has to commit to notice a full disk. PostgreSQL refuses the statement itself where it takes no writes, and it
# changes no row, so that it waits for no lock and leaves nothing behind.
_WRITES = {
    "sqlite": "PRAGMA user_version = 0",
    "postgresql": "UPDATE django_migrations SET applied = applied WHERE false",
}


def _state(error: Error) -> str:
    if isinstance(error.__cause__, sqlite3.Error):
        code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
        states = {sqlite3.SQLITE_BUSY: "ok", sqlite3.SQLITE_LOCKED: "ok"}  # another one writes just now
        states |= {sqlite3.SQLITE_READONLY: "read-only", sqlite3.SQLITE_FULL: "full"}
        return states.get(code, "down")
    if isinstance(error, ProgrammingError):
        return "ok"  # there are no tables yet, which migrations() tells
    return {database_errors.READ_ONLY: "read-only", DISK_FULL: "full"}.get(database_errors.sqlstate(error), "down")


_probe = Probe(_write)


def migrations() -> str:
    try:
        _require_migrations()
    except PendingMigrations:
        return "missing"
    except Error:
        return "unknown"
    return "ok"


def broker() -> str:
    if not settings.CELERY_BROKER_URL:
        return "none"
    return _broker_in(int(time.monotonic() / BROKER_PERIOD_SECONDS))


def mails() -> str:
    """Whether all that is pending goes out within some minutes; `held` while the mail server refuses us."""
    try:
        if hold.current():
            return "held"
        return "late" if outbox.oldest_owed() > LATE_AFTER else "ok"
    except Error:
        return "unknown"


class PendingMigrations(Exception):
    """The database lacks tables that this version needs."""


def is_migrated() -> bool:
    """Whether the database has all tables of this version. Raises django.db.Error when it cannot be asked."""
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


@cache
def _require_migrations() -> None:
    """Remembered once it has passed: another version of the code is another process."""
    if not is_migrated():
        raise PendingMigrations


@lru_cache(maxsize=1)
def _broker_in(period: int) -> str:
    """Asked once a period: a broker that never answers must not hold up each probe."""
    answer = _thread.submit(_greet_broker)
    try:
        answer.result(BROKER_TIMEOUT_SECONDS)  # also ends the waiting for its name
    except Exception as fault:  # noqa: BLE001 - py-amqp raises whatever a malformed frame leads to
        answer.cancel()
        log.warning("the broker does not answer: %s %s", type(fault).__name__, fault)
        return "down"
    return "ok"


def _greet_broker() -> None:
    transport = kombu.Connection(settings.CELERY_BROKER_URL, connect_timeout=BROKER_TIMEOUT_SECONDS).transport
    transport.close_connection(transport.establish_connection())  # connect() would try again, after 2 s
