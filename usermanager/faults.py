"""What is answered when no view does: a problem document to programs, a short page to people."""

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
from rest_framework.views import APIView

from accounts import database_errors, origin
from accounts.api.errors import TITLES, problem_response

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

CODES = {400: "parse_error", 403: "permission_denied", 404: "not_found", 500: "server_error", 503: "overloaded"}
DETAILS = {
    400: _("This request cannot be understood."),
    403: _("You may not do this. If you came from a form, open it again and send it once more."),
    404: _("There is nothing here."),
    500: _("Something went wrong on our side."),
    503: database_errors.DETAIL,
}
UNKNOWN_HOST = _("This server does not answer requests for this host name.")
HOST_LENGTH = 255

log = logging.getLogger(__name__)


class UnknownPath(APIView):
    """Whatever nobody serves below /api/."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound

    def get(self, request: Request) -> Response:
        raise NotFound  # initial() has said so already, for every verb


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Tells the operator which setting refuses a Host header; the client learns only that it was refused."""
    if isinstance(exception, DisallowedHost):
        _log_host(origin.printable(request.META.get("HTTP_HOST", ""))[:HOST_LENGTH])
        return _answer(request, 400, UNKNOWN_HOST)
    return _answer(request, 400)


@lru_cache(maxsize=100)
def _log_host(host: str) -> None:
    """Logs each host once, not with every request for it."""
    log.warning("host %r is refused; if clients may use it, add it to ALLOWED_HOSTS", host)


def forbidden(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponse:
    return _answer(request, 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """For whatever a view or a middleware raised: Django calls this while it handles the exception."""
    if refusal := database_errors.refusal(sys.exception()):
        response = _answer(request, 503)
        response["Retry-After"] = str(refusal.retry_after_seconds)
        response._has_been_logged = True  # type: ignore[attr-defined]  # else Django logs a traceback
        return response
    return _answer(request, 500)


def _answer(request: HttpRequest, status: int, detail: "_StrPromise | None" = None) -> HttpResponse:
    detail = detail or DETAILS[status]
    if request.path.startswith("/api/") or "text/html" not in request.headers.get("Accept", ""):
        return problem_response(CODES[status], status, str(detail))
    context = {
        "site": settings.SITE_NAME,
        "heading": TITLES[CODES[status]],
        "text": detail,
        "status": status,
        "request_id": origin.current.get().request_id,
    }
    return render(None, "usermanager/fault.html", context, status=status)
