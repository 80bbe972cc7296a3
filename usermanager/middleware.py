"""What holds for every request: its id and its line in the log, the headers of its answer, and how paths are read."""

import logging
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from time import perf_counter

from django.http import HttpRequest, HttpResponseBase
from django.http.request import split_domain_port
from django.middleware.common import CommonMiddleware

from accounts import origin, quotas
from accounts.quotas import Quota
from usermanager import metrics

Handler = Callable[[HttpRequest], HttpResponseBase]

SECOND = timedelta(seconds=1)
REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
API = "/api/"
HEALTH = "/health/"
METRICS = "/metrics"

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
ALWAYS = {
    "Cross-Origin-Resource-Policy": "same-origin",  # what CORS_ALLOWED_ORIGINS permits is asked for with CORS
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}

access_log = logging.getLogger("usermanager.access")


class RequestContext:
    """Gives the request an id, tells the use cases where it comes from, counts and logs it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        started = perf_counter()
        token = origin.current.set(origin.from_request(request, request_id))
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            self._note(request, response, perf_counter() - started)
        finally:
            origin.current.reset(token)
        return response

    def _note(self, request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
        """Never with the query: it may hold the token of a mailed link."""
        metrics.observe(request, response.status_code, seconds)
        path = origin.printable(request.path)
        access_log.info("%s %s %d %.0fms", request.method, path, response.status_code, seconds * 1000)


class SecurityHeaders:
    """Nothing is loaded from elsewhere or framed, and no answer that may be personal is kept by a cache."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        policy = PAGE_POLICY if is_page else DATA_POLICY
        for name, value in {"Content-Security-Policy": policy, **ALWAYS}.items():
            response.headers.setdefault(name, value)
        if is_page or response.status_code >= 400 or request.path.startswith((API, HEALTH)):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class RateLimits:
    """Says what the request left of the limits it counted against, whoever answers it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with quotas.observed() as counted:
            response = self.get_response(request)
        if counted:
            response["RateLimit-Policy"] = ", ".join(map(_policy, sorted(counted.items())))
            response["RateLimit"] = ", ".join(map(_state, sorted(counted.items())))
        return response


class Paths(CommonMiddleware):
    """A path of the API means the same without its final slash, for every verb and without a redirect."""

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:  # type: ignore[override]
        if f"{request.path_info}/".startswith((API, HEALTH)) and not request.path_info.endswith("/"):
            request.path_info += "/"
            request.path += "/"
        if request.path_info.startswith(HEALTH):
            return None  # a load balancer asks by address: whatever Host it names is fine
        if request.path_info == METRICS and _is_address(request.META.get("HTTP_HOST", "")):
            return None  # so does Prometheus; a name must be one of ours, as another site could point its own to us
        return super().process_request(request)


def _is_address(host: str) -> bool:
    """Whether the Host header names an IP address, with or without a port."""
    name, _port = split_domain_port(host)
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _policy(counted: tuple[str, Quota]) -> str:
    """As draft-ietf-httpapi-ratelimit-headers-10 names a limit: `"login";q=5;w=300`."""
    name, quota = counted
    return f'"{name}";q={quota.rate.limit};w={quota.rate.period // SECOND}'


def _state(counted: tuple[str, Quota]) -> str:
    name, quota = counted
    return f'"{name}";r={quota.remaining};t={-(-quota.resets_in // SECOND)}'
