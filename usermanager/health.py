"""Tells a load balancer whether this process lives and whether it can do its work."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache, lru_cache

import kombu
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.errors import CONTENT_TYPE, problem
from accounts.api.negotiation import IgnoreAccept
from notifications import outbox

RETRY_SECONDS = 5
BROKER_TIMEOUT_SECONDS = 0.5
BROKER_PERIOD_SECONDS = 10
LATE_AFTER = timedelta(minutes=10)

log = logging.getLogger(__name__)
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe")


class Live(APIView):
    """The process answers; nothing else is looked at, so that a restart is never the cure for a database."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None

    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class Ready(APIView):
    """The database answers and has the tables of this version.

    A broker that is down and mails that are late are named, and no reason to send people elsewhere.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None

    def get(self, request: Request) -> Response:
        checks = {"database": database(), "migrations": migrations(), "broker": broker(), "outbox": mails()}
        faults = [name for name in ("database", "migrations") if checks[name] != "ok"]
        if not faults:
            return Response({"status": "ok", **checks})
        document = problem("not_ready", 503, str(_("Not ready")), ", ".join(faults))
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return Response({**document, **checks}, 503, headers=headers, content_type=CONTENT_TYPE)


def database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "down"
    return "ok"


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
    """Whether all that is owed goes out within some minutes."""
    try:
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
