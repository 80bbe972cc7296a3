"""The public keys, with which any service checks an access token without asking us (RFC 7517)."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from accounts import keys
from accounts.api.errors import problem_response

MAX_AGE_SECONDS = 300
METHODS = ("GET", "HEAD")


@csrf_exempt
def jwks(request: HttpRequest) -> HttpResponse:
    """No view of REST framework: whoever wants keys gets them, whatever media type they ask for."""
    if request.method not in METHODS:
        refusal = problem_response("method_not_allowed", 405, _("The keys can only be read."))
        refusal["Allow"] = ", ".join(METHODS)
        return refusal
    answer = JsonResponse(keys.jwks())
    patch_cache_control(answer, public=True, max_age=MAX_AGE_SECONDS)
    return answer
