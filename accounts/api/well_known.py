"""Serves the documents with which browsers and phones let other origins and apps use the passkeys of this domain."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from accounts.api.errors import error_response, problem_response
from accounts.errors import NotFound
from accounts.mfa import relying_party

METHODS = ("GET", "HEAD")


@csrf_exempt
def webauthn(request: HttpRequest) -> HttpResponse:
    """Returns the origins outside the domain that may use its passkeys (Related Origin Requests)."""
    origins = relying_party.related_origins()
    return _response(request, {"origins": origins} if origins else None)


@csrf_exempt
def asset_links(request: HttpRequest) -> HttpResponse:
    """Returns the Android apps that may use the passkeys of the domain (Digital Asset Links)."""
    return _response(request, relying_party.asset_links() or None)


@csrf_exempt
def apple_app_site_association(request: HttpRequest) -> HttpResponse:
    """Returns the iOS apps that may use the passkeys of the domain."""
    apps = relying_party.ios_apps()
    return _response(request, {"webcredentials": {"apps": apps}} if apps else None)


def _response(request: HttpRequest, document: Any) -> HttpResponse:
    """Returns the document, or 404 if the operator has configured nothing for it."""
    if request.method not in METHODS:
        error = problem_response("method_not_allowed", 405, _("This document only supports GET and HEAD."))
        error["Allow"] = ", ".join(METHODS)
        return error
    return error_response(NotFound()) if document is None else JsonResponse(document, safe=False)
