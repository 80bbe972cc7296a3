"""Serves the public keys (RFC 7517), with which other services check access tokens without calling UserManager."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from accounts.api.errors import problem_response
from accounts.jwt import signing_keys

PREFLIGHT_SECONDS = 24 * 60 * 60
METHODS = ("GET", "HEAD")


@csrf_exempt
def jwks(request: HttpRequest) -> HttpResponse:
    """Returns the key set to clients of every CORS origin, because web applications check tokens in the browser.

    It is a Django view, because REST framework would reject clients that accept other media types.
    """
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    response = _preflight_response() if is_preflight else _key_set_response(request)
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _preflight_response() -> HttpResponse:
    """Answers the CORS preflight request, which browsers send when a library adds headers, for example for tracing."""
    response = HttpResponse(status=204)
    response["Access-Control-Allow-Methods"] = ", ".join(METHODS)
    response["Access-Control-Allow-Headers"] = "*"
    response["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response


def _key_set_response(request: HttpRequest) -> HttpResponse:
    if request.method not in METHODS:
        error = problem_response("method_not_allowed", 405, _("The key set only supports GET and HEAD."))
        error["Allow"] = ", ".join(METHODS)
        return error
    response = JsonResponse(signing_keys.jwks())
    patch_cache_control(response, public=True, max_age=int(signing_keys.JWKS_MAX_AGE.total_seconds()))
    return response
