"""Tells a load balancer whether this process is alive and whether it can answer requests."""

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

from accounts import database_errors
from accounts.api.base import StatelessView
from accounts.api.content_negotiation import PROBLEM_TYPE, IgnoreAccept
from accounts.api.errors import problem_document
from notifications import outbox
from notifications.sending import hold

RETRY_SECONDS = 5
DATABASE_SECONDS = 2.5
DATABASE_PERIOD_SECONDS = 1.0
BROKER_TIMEOUT_SECONDS = 0.5
BROKER_PERIOD_SECONDS = 10
DISK_FULL = "53100"  # PostgreSQL's code
LATE_AFTER = timedelta(minutes=10)

log = logging.getLogger(__name__)
_broker_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe")


class PeriodicCheck:
    """Runs a check in its own thread at most once a period. All callers get the same result."""

    def __init__(self, check: Callable[[], str]) -> None:
        self._check, self._thread = check, ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe")
        self._lock = threading.Lock()
        self._answer: Future[str] | None = None
        self._expires = 0.0

    def result(self, seconds: float) -> str:
        """Returns the result of the check. Raises TimeoutError if it takes longer; it goes on, for later callers."""
        with self._lock:
            if self._answer is None or (self._answer.done() and time.monotonic() > self._expires):
                self._answer = self._thread.submit(self._run)
        return self._answer.result(seconds)

    def _run(self) -> str:
        try:
            return self._check()
        finally:
            self._expires = time.monotonic() + DATABASE_PERIOD_SECONDS


class LiveView(StatelessView):
    """Answers 200 while the process runs. Checks nothing else: a restart would not repair a database."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None

    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class ReadyView(StatelessView):
    """Answers 200 if the database accepts writes and has the tables of this version, otherwise 503.

    The response also names the state of broker and outbox. These do not make it 503, because requests work without.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None

    def get(self, request: Request) -> Response:
        checks = {"database": database_state(), "migrations": "unknown", "broker": broker_state(), "outbox": "unknown"}
        if checks["database"] == "down":
            failed = ["database"]  # the other checks would query it
        else:
            checks |= {"migrations": migrations_state(), "outbox": outbox_state()}
            failed = [name for name in ("database", "migrations") if checks[name] != "ok"]
        if not failed:
            return Response({"status": "ok", **checks})
        document = problem_document("not_ready", 503, str(_("Not ready")), ", ".join(failed))
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return Response({**document, **checks}, 503, headers=headers, content_type=PROBLEM_TYPE)


def database_state() -> str:
    """Returns "ok" if the database accepts writes, otherwise "read-only", "full" or "down"."""
    try:
        return _database_check.result(DATABASE_SECONDS)
    except TimeoutError:
        return "down"


def _attempt_write() -> str:
    """Attempts a write over a separate connection, which takes none of the pool and waits for no lock."""
    own = connection.copy(alias="probe")
    own.settings_dict["OPTIONS"].pop("pool", None)
    if own.vendor == "sqlite":
        own.settings_dict["OPTIONS"]["timeout"] = 0
    try:
        with closing(own), own.cursor() as cursor:
            cursor.execute(_WRITES[own.vendor])
    except Error as error:
        return _state_of(error)
    return "ok"


# SQLite notices a full disk only when it commits. PostgreSQL rejects an UPDATE when it is read-only, even one that
# changes no row. Such a statement waits for no lock.
_WRITES = {
    "sqlite": "PRAGMA user_version = 0",
    "postgresql": "UPDATE django_migrations SET applied = applied WHERE false",
}


def _state_of(error: Error) -> str:
    if isinstance(error.__cause__, sqlite3.Error):
        code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
        states = {sqlite3.SQLITE_BUSY: "ok", sqlite3.SQLITE_LOCKED: "ok"}  # another connection writes
        states |= {sqlite3.SQLITE_READONLY: "read-only", sqlite3.SQLITE_FULL: "full"}
        return states.get(code, "down")
    if isinstance(error, ProgrammingError):
        return "ok"  # no tables yet: migrations_state() reports that
    return {database_errors.READ_ONLY: "read-only", DISK_FULL: "full"}.get(database_errors.sqlstate(error), "down")


_database_check = PeriodicCheck(_attempt_write)


def migrations_state() -> str:
    """Returns "ok", "missing" or "unknown"."""
    try:
        _require_migrations()
    except PendingMigrations:
        return "missing"
    except Error:
        return "unknown"
    return "ok"


def broker_state() -> str:
    """Returns "ok", "down", or "none" if no broker is configured."""
    if not settings.CELERY_BROKER_URL:
        return "none"
    return _broker_state_in(int(time.monotonic() / BROKER_PERIOD_SECONDS))


def outbox_state() -> str:
    """Returns "ok"; "late" if an email has been pending for ten minutes; "held" while the mail server rejects the
    installation; "unknown" without a database."""
    try:
        if hold.current():
            return "held"
        return "late" if outbox.oldest_pending_age() > LATE_AFTER else "ok"
    except Error:
        return "unknown"


class PendingMigrations(Exception):
    """The database lacks tables that this version needs."""


def is_migrated() -> bool:
    """Returns whether the database has all tables of this version. Raises django.db.Error."""
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


@cache
def _require_migrations() -> None:
    """Raises PendingMigrations. A success is cached for good: another version of the code is another process."""
    if not is_migrated():
        raise PendingMigrations


@lru_cache(maxsize=1)
def _broker_state_in(period: int) -> str:
    """Connects to the broker once a period. Without the cache, a silent broker would delay every probe."""
    answer = _broker_thread.submit(_connect_to_broker)
    try:
        answer.result(BROKER_TIMEOUT_SECONDS)  # also limits the time for name resolution
    except Exception as error:  # noqa: BLE001 - py-amqp raises any kind for a malformed frame
        answer.cancel()
        log.warning("the broker does not answer: %s %s", type(error).__name__, error)
        return "down"
    return "ok"


def _connect_to_broker() -> None:
    transport = kombu.Connection(settings.CELERY_BROKER_URL, connect_timeout=BROKER_TIMEOUT_SECONDS).transport
    transport.close_connection(transport.establish_connection())  # connect() would make a second attempt, after 2 s
