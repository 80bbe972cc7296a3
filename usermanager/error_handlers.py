"""Answers requests that no view answers: programs get a problem document, browsers get a short page."""

import logging
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import database_errors, request_context
from accounts.api.base import StatelessView
from accounts.api.errors import TITLES, problem_response

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

CODES = {400: "parse_error", 403: "permission_denied", 404: "not_found", 500: "server_error", 503: "overloaded"}
DETAILS = {
    400: _("This request cannot be understood."),
    403: _("Access denied. If you submitted a form, reload the page and try again."),
    404: _("Not found. Please check the address."),
    500: _("Something went wrong on our side."),
    503: database_errors.DETAIL,
}
UNKNOWN_HOST = _("This server does not answer requests for this host name.")
MAX_HOST_LENGTH = 255

log = logging.getLogger(__name__)


class UnknownPathView(StatelessView):
    """Answers 404 to every method for an unknown path below /api/."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound

    def get(self, request: Request) -> Response:
        raise NotFound  # never reached: initial() raises for every method


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answers 400. For a rejected Host header, logs the setting that would allow it; the client does not learn it."""
    if isinstance(exception, DisallowedHost):
        _log_rejected_host(request_context.printable(request.META.get("HTTP_HOST", ""))[:MAX_HOST_LENGTH])
        return _error_response(request, 400, UNKNOWN_HOST)
    return _error_response(request, 400)


@lru_cache(maxsize=100)
def _log_rejected_host(host: str) -> None:
    """Logs each rejected host once, and not with every request for it."""
    log.warning("rejected the host %r; if clients may use it, add it to ALLOWED_HOSTS", host)


def forbidden(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponse:
    return _error_response(request, 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _error_response(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answers an exception of a view or a middleware: 503 for a temporary error of the database, otherwise 500.

    Django calls this while it handles the exception.
    """
    if error := database_errors.handle(sys.exception()):
        response = _error_response(request, 503)
        response["Retry-After"] = str(error.retry_after_seconds)
        return response
    return _error_response(request, 500)


def _error_response(request: HttpRequest, status: int, detail: "StrPromise | None" = None) -> HttpResponse:
    detail = detail or DETAILS[status]
    if request.path.startswith("/api/") or "text/html" not in request.headers.get("Accept", ""):
        return problem_response(CODES[status], status, str(detail))
    context = {
        "site": settings.SITE_NAME,
        "heading": TITLES[CODES[status]],
        "text": detail,
        "status": status,
        "request_id": request_context.current.get().request_id,
    }
    return render(None, "usermanager/error.html", context, status=status)
