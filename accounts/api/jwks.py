"""The public keys, with which any service checks an access token without asking us (RFC 7517)."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from accounts import keys
from accounts.api.errors import problem_response

PREFLIGHT_SECONDS = 24 * 60 * 60
METHODS = ("GET", "HEAD")


@csrf_exempt
def jwks(request: HttpRequest) -> HttpResponse:
    """Answers every origin: the keys are public, and a web application checks tokens with them in the browser.

    No view of REST framework: every client gets the keys, whatever media type it asks for.
    """
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    answer = _preflight() if is_preflight else _answer(request)
    answer["Access-Control-Allow-Origin"] = "*"
    answer["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


def _preflight() -> HttpResponse:
    """What a browser asks first when a library adds headers of its own, such as those for tracing."""
    answer = HttpResponse(status=204)
    answer["Access-Control-Allow-Methods"] = ", ".join(METHODS)
    answer["Access-Control-Allow-Headers"] = "*"
    answer["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return answer


def _answer(request: HttpRequest) -> HttpResponse:
    if request.method not in METHODS:
        refusal = problem_response("method_not_allowed", 405, _("The keys can only be read."))
        refusal["Allow"] = ", ".join(METHODS)
        return refusal
    answer = JsonResponse(keys.jwks())
    patch_cache_control(answer, public=True, max_age=int(keys.JWKS_MAX_AGE.total_seconds()))
    return answer
