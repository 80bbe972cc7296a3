"""Counts the requests, and shows the counts to the addresses that may see them (METRICS_ALLOWED)."""

import os
from collections.abc import Iterator
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
from rest_framework.views import APIView

from accounts import origin
from accounts.api.negotiation import IgnoreAccept
from notifications import hold, outbox

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

requests_total = Counter("http_requests", "Answered requests.", ["method", "route", "status"])
request_seconds = Histogram("http_request_seconds", "Time to answer.", ["method", "route"])


def observe(request: HttpRequest, status: int, seconds: float) -> None:
    """Labels by route, never by path: their number must not grow with what clients ask for."""
    match = request.resolver_match
    route = f"/{match.route}" if match else "none"
    method = request.method if request.method in METHODS else "other"
    requests_total.labels(method, route, str(status)).inc()
    request_seconds.labels(method, route).observe(seconds)


class OutboxCollector(Collector):
    """What the database says of the mails, which is right for all processes of all hosts."""

    def collect(self) -> Iterator[Metric]:
        try:
            numbers, oldest, held = outbox.numbers(), outbox.oldest_owed(), hold.current()
        except Error:
            return  # what the processes counted is shown all the same
        mails = GaugeMetricFamily("mails", "Mails in the outbox.", labels=["state"])
        for state, number in numbers.items():
            mails.add_metric([state], number)
        yield mails
        age = oldest.total_seconds()
        yield GaugeMetricFamily("mails_oldest_owed_seconds", "Age of the oldest mail that is owed.", value=age)
        about = "1 while the mail server refuses this installation, and all emails wait."
        yield GaugeMetricFamily("mails_held", about, value=1 if held else 0)


class Metrics(APIView):
    """All counts in Prometheus' text format: of web server, relay and worker where they share a folder."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None

    def get(self, request: Request) -> HttpResponse:
        if not _may_see(request):
            raise PermissionDenied
        counted, stored = _registry(), CollectorRegistry()
        stored.register(OutboxCollector())
        return HttpResponse(generate_latest(counted) + generate_latest(stored), content_type=CONTENT_TYPE_LATEST)


def _may_see(request: Request) -> bool:
    """Never through a proxy that TRUSTED_PROXIES does not count: its own address would open the door to all."""
    if not settings.TRUSTED_PROXIES and ("X-Forwarded-For" in request.headers or "Forwarded" in request.headers):
        return False
    client = origin.client_ip(request)
    return bool(client) and any(ip_address(client or "") in ip_network(known) for known in settings.METRICS_ALLOWED)


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
