"""The public keys, with which any service checks an access token without asking us (RFC 7517)."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from accounts import keys

MAX_AGE_SECONDS = 300


@require_safe
@cache_control(public=True, max_age=MAX_AGE_SECONDS)
def jwks(request: HttpRequest) -> JsonResponse:
    return JsonResponse(keys.jwks())
