"""Handles every request: gives it an id and a line in the log, adds headers to its response, completes its path.

A request of the API ends in ApiMiddleware, which calls its view. The middleware after it is for pages.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from time import perf_counter

import corsheaders.middleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import split_domain_port
from django.http.response import ResponseHeaders
from django.middleware.common import CommonMiddleware
from django.middleware.security import SecurityMiddleware
from django.template.response import SimpleTemplateResponse
from django.urls import ResolverMatch, resolve
from django.utils import translation
from django.utils.cache import patch_vary_headers

from accounts import request_context
from accounts.limits import rate_limit_headers
from usermanager import metrics

Handler = Callable[[HttpRequest], HttpResponseBase]

API = "/api/"
HEALTH = "/health/"
METRICS = "/metrics"
#: Paths whose views are for programs, and use neither sessions, CSRF tokens nor messages.
API_VIEWS = (
    *("/api/v1/", HEALTH, METRICS, "/.well-known/jwks.json"),
    *("/.well-known/webauthn", "/.well-known/assetlinks.json", "/.well-known/apple-app-site-association"),
)

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
COMMON_HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",  # does not apply to CORS requests
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}

access_log = logging.getLogger("usermanager.access")


class RequestContextMiddleware:
    """Gives the request an id, sets its request context, counts it and logs it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # request.headers would read all headers
        request_id = request_context.request_id(request.META.get("HTTP_X_REQUEST_ID", ""))
        started = perf_counter()
        token = request_context.current.set(request_context.from_request(request, request_id))
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            seconds = perf_counter() - started
            metrics.observe(request, response.status_code, seconds)
            path = request_context.printable(request.path)  # without the query string, which may contain a token
            access_log.info("%s %s %d %.0fms", request.method, path, response.status_code, seconds * 1000)
        finally:
            request_context.current.reset(token)
        return response


class SecurityHeadersMiddleware:
    """Adds security headers: pages load nothing from other sites, no site frames them, caches keep no personal data.

    They include those of Django's SecurityMiddleware, which runs for pages only.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        django = SecurityMiddleware(get_response)
        common = {**django.process_response(HttpRequest(), HttpResponse()).headers, **COMMON_HEADERS}
        del common["Content-Type"]
        self.has_hsts, self.django = bool(django.sts_seconds), django
        self.data = ResponseHeaders({**common, "Content-Security-Policy": DATA_POLICY})
        self.private_data = ResponseHeaders({**self.data, "Cache-Control": "no-store"})
        self.page = ResponseHeaders({**self.private_data, "Content-Security-Policy": PAGE_POLICY})

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.get("Content-Type", "").startswith("text/html"):
            added = self.page
        elif response.status_code >= 400 or request.path.startswith((API, HEALTH)):
            added = self.private_data
        else:
            added = self.data
        # Each header takes 2 us with setdefault(), together a tenth of a short request.
        response.headers._store = added._store | response.headers._store
        if self.has_hsts:
            self.django.process_response(request, response)  # type: ignore[arg-type]
        return response


class RateLimitHeadersMiddleware:
    """Adds the RateLimit headers for the limits that the request counted against, also if it was rejected."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with rate_limit_headers.collect() as counted:
            response = self.get_response(request)
        if counted:
            for name, value in rate_limit_headers.headers(counted).items():
                response[name] = value
        return response


class CorsMiddleware(corsheaders.middleware.CorsMiddleware):
    """Reads the CORS settings only for a request that a browser sent for another origin. Others get `Vary` alone."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_ORIGIN" in request.META or request.method == "OPTIONS":
            return super().__call__(request)  # type: ignore[return-value]  # an Awaitable only with ASGI
        is_api = request.path_info.startswith(API)
        response = self.get_response(request)
        if is_api:
            patch_vary_headers(response, ["origin"])  # type: ignore[arg-type]
        return response  # type: ignore[return-value]


class LanguageMiddleware:
    """Chooses the language as Django's LocaleMiddleware does, but only once for each value of Accept-Language.

    Does not look for a language in the path: no path has one.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_COOKIE" in request.META:  # one of them may name the language of the panel
            language = translation.get_language_from_request(request)
        else:
            language = _language_of(request.META.get("HTTP_ACCEPT_LANGUAGE", ""))
        translation.activate(language)
        request.LANGUAGE_CODE = language
        response = self.get_response(request)
        patch_vary_headers(response, ["Accept-Language"])
        response.headers.setdefault("Content-Language", language)
        return response


@lru_cache(maxsize=256)  # a header has at most 8 KB
def _language_of(accepted: str) -> str:
    request = HttpRequest()
    request.META["HTTP_ACCEPT_LANGUAGE"] = accepted
    return translation.get_language_from_request(request)


class PathMiddleware(CommonMiddleware):
    """Completes a path of the API or of /health/ with its final slash, for every method and without a redirect."""

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:  # type: ignore[override]
        if f"{request.path_info}/".startswith((API, HEALTH)) and not request.path_info.endswith("/"):
            request.path_info += "/"
            request.path += "/"
        if request.path_info.startswith(HEALTH):
            return None  # a load balancer sends an IP address as Host, so any Host is accepted
        if request.path_info == METRICS and _is_address(request.META.get("HTTP_HOST", "")):
            # Prometheus does, too. A host name must be allowed: another site could point its own name to this server.
            return None
        return super().process_request(request)


class ApiMiddleware:
    """Calls the view of an API path. Without it, the middleware of pages costs as much as the rest of a short request.

    Does what Django does after the last middleware. The hook `process_view`, which only Django's CSRF check uses, does
    not run: these views read no cookie.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self._matches: dict[str, ResolverMatch] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_VIEWS):
            return self.get_response(request)
        match = request.resolver_match = self._resolve(request.path_info)
        response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):  # REST framework's Response
            return response.render()
        return response

    def _resolve(self, path: str) -> ResolverMatch:
        """Returns the view of a path. Keeps those of paths without parameters, the number of which is limited."""
        match = self._matches.get(path)
        if match is None:
            match = resolve(path, settings.ROOT_URLCONF)
            if f"/{match.route}" == path:
                self._matches[path] = match
        return match


def _is_address(host: str) -> bool:
    """Whether the Host header names an IP address, with or without a port."""
    name, _port = split_domain_port(host)
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
