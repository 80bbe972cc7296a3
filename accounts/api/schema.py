"""The OpenAPI description: what each operation says about itself, and the refusals it may answer with."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers

from accounts import errors

MEDIA_TYPE = "application/problem+json"
STATUSES = {
    "parse_error": 400,
    "not_acceptable": 406,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    **{error.code: error.status for error in errors.all_errors()},
}
SIGNED_IN = ("not_authenticated", "token_not_valid")
USER_EXAMPLE = {
    "id": "019388f1-7c4e-7d0a-9f6e-2b9d1c3f5a70",
    "email": "ana@example.com",
    "full_name": "Ana",
    "role": "user",
    "is_active": True,
    "email_verified": False,
    "locale": "es",
    "metadata": {},
    "created_at": "2026-01-02T03:04:05.678901Z",
    "updated_at": "2026-01-02T03:04:05.678901Z",
    "last_login_at": None,
}


class FaultSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(allow_null=True, help_text="Null for a fault of no single field.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """A refusal (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField(help_text="In the language of the request.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="One line for a person, in the language of the request.")
    code = serializers.CharField(help_text="Stable, never translated.")
    instance = serializers.CharField(help_text="The id of the request, as in X-Request-ID.")
    errors = FaultSerializer(many=True, required=False)  # type: ignore[assignment]


def operation(
    summary: str,
    *,
    request: Any = None,
    success: tuple[int, Any] = (204, None),
    also: dict[int, Any] | None = None,
    refusals: Iterable[str] = (),
    example: dict[str, Any] | None = None,
    answer: Any = None,
    **options: Any,
) -> Callable[[Any], Any]:
    """Describes an operation: its body, its success, the codes of its refusals, and an example of body and answer."""
    status, shape = success
    examples = []
    if example is not None:
        examples.append(OpenApiExample("Request", example, request_only=True))
    if answer is not None:
        examples.append(OpenApiExample("Answer", answer, response_only=True, status_codes=[str(status)]))
    responses = {code: OpenApiResponse(other, summary) for code, other in [(status, shape), *(also or {}).items()]}
    responses |= _refusals(set(refusals) | _of_every_body(request))
    name = re.sub(r"[^a-z]+", "_", summary.lower().replace("'", "")).strip("_")
    return extend_schema(name, summary=summary, request=request, responses=responses, examples=examples, **options)


def _of_every_body(request: Any) -> set[str]:
    if request is None:
        return {"not_acceptable"}
    return {"validation_error", "parse_error", "not_acceptable", "payload_too_large", "unsupported_media_type"}


def _refusals(codes: set[str]) -> dict[Any, OpenApiResponse]:
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(STATUSES[code], []).append(code)
    return {
        (status, MEDIA_TYPE): OpenApiResponse(ProblemSerializer, " · ".join(f"`{code}`" for code in names))
        for status, names in sorted(by_status.items())
    }


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the description names our way to sign in."""

    target_class = "accounts.access_tokens.SessionJWTAuthentication"
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class OperationSchema(AutoSchema):
    """Groups the operations by what they are about."""

    def _get_request_body(self, direction: str = "request") -> Any:
        """Also that of a DELETE, of which drf-spectacular describes none: who leaves gives their password."""
        method, self.method = self.method, "POST" if self.method == "DELETE" else self.method
        try:
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = method

    def get_tags(self) -> list[str]:
        parts = self.path.removeprefix("/api/v1/").strip("/").split("/")
        return [next((part for part in ("audit", "sessions") if part in parts), parts[0])]
