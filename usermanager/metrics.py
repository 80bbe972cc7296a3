"""Counts requests, and serves the metrics to the IP addresses in METRICS_ALLOWED."""

import os
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from accounts import request_context
from accounts.api.base import StatelessView
from accounts.api.content_negotiation import IgnoreAccept
from notifications import outbox
from notifications.sending import hold

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

requests_total = Counter("http_requests", "Number of answered requests.", ["method", "route", "status"])
request_seconds = Histogram("http_request_seconds", "Seconds from a request to its response.", ["method", "route"])


def observe(request: HttpRequest, status: int, seconds: float) -> None:
    """Counts a request by its route. Paths would be labels without limit, because clients choose them."""
    match = request.resolver_match
    route = f"/{match.route}" if match else "none"
    count(request.method if request.method in METHODS else "other", route, status, seconds)


def count(method: str, route: str, status: int, seconds: float) -> None:
    counter, histogram = _counters(method, route, status)
    counter.inc()
    histogram.observe(seconds)


@cache  # labels() takes a lock and compares all values, each time
def _counters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return requests_total.labels(method, route, str(status)), request_seconds.labels(method, route)


class OutboxCollector(Collector):
    """Reads the numbers of emails from the database, so they cover all processes on all hosts."""

    def collect(self) -> Iterator[Metric]:
        try:
            numbers, oldest, held = outbox.count_by_state(), outbox.oldest_pending_age(), hold.current()
        except Error:
            return  # the response still has the counts of the processes
        mails = GaugeMetricFamily("mails", "Emails in the outbox.", labels=["state"])
        for state, number in numbers.items():
            mails.add_metric([state], number)
        yield mails
        age = oldest.total_seconds()
        yield GaugeMetricFamily("mails_oldest_owed_seconds", "Age of the oldest pending email.", value=age)
        about = "1 while the mail server rejects this installation and all emails wait."
        yield GaugeMetricFamily("mails_held", about, value=1 if held else 0)


class MetricsView(StatelessView):
    """Serves all metrics in Prometheus' text format, also those of relay and worker if all share a folder."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None

    def get(self, request: Request) -> HttpResponse:
        if not _may_read(request):
            raise PermissionDenied
        counted, stored = _registry(), CollectorRegistry()
        stored.register(OutboxCollector())
        return HttpResponse(generate_latest(counted) + generate_latest(stored), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: Request) -> bool:
    """Checks METRICS_ALLOWED. Rejects requests through a proxy that TRUSTED_PROXIES does not count.

    With such a proxy, every client would have the IP address of the proxy, which may be allowed.
    """
    if not settings.TRUSTED_PROXIES and ("X-Forwarded-For" in request.headers or "Forwarded" in request.headers):
        return False
    client = request_context.client_ip(request)
    return bool(client) and any(ip_address(client or "") in ip_network(known) for known in settings.METRICS_ALLOWED)


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
