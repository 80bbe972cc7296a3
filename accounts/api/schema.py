"""The OpenAPI description: what each operation says about itself, and the refusals it may answer with."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotAcceptable, UnsupportedMediaType

from accounts import errors
from accounts.api.errors import CONTENT_TYPE, DETAILS, TITLES
from accounts.api.parsers import PayloadTooLarge

#: Status, title and detail of each refusal.
REFUSALS = {
    "parse_error": (400, TITLES["parse_error"], _("The body is not valid JSON.")),
    "not_acceptable": (406, TITLES["not_acceptable"], NotAcceptable.default_detail),
    "payload_too_large": (413, TITLES["payload_too_large"], PayloadTooLarge.default_detail),
    "unsupported_media_type": (
        415,
        TITLES["unsupported_media_type"],
        format_lazy(UnsupportedMediaType.default_detail, media_type="text/plain"),  # type: ignore[arg-type]
    ),
    **{error.code: (error.status, error.title, DETAILS.get(error.code, error.detail)) for error in errors.all_errors()},
}
#: Of whatever is sent, needed or not.
OF_A_BODY = {"parse_error", "payload_too_large", "unsupported_media_type"}
#: REST framework's names for what answers a GET, of which no body is read.
READING = {"get", "list", "retrieve"}
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
SESSION_EXAMPLE = {
    "id": "019388f1-9a10-7c55-8e21-4f0d6a7b8c91",
    "created_at": "2026-01-02T03:04:05.678901Z",
    "last_used_at": "2026-01-02T04:05:06.789012Z",
    "expires_at": "2026-01-16T04:05:06.789012Z",
    "ip": "192.0.2.7",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "current": True,
}
EVENT_EXAMPLE = {
    "id": "019388f1-9a12-7e0b-b6d3-5a1c2e3f4d50",
    "kind": "session:opened",
    "user": USER_EXAMPLE["id"],
    "actor": USER_EXAMPLE["id"],
    "created_at": SESSION_EXAMPLE["created_at"],
    "ip": SESSION_EXAMPLE["ip"],
    "user_agent": SESSION_EXAMPLE["user_agent"],
    "request_id": "6f1c0b7e5d2a4c3e9b8f7a6d5c4b3a21",
    "data": {"session": SESSION_EXAMPLE["id"]},
}
MAIL_EXAMPLE = {"detail": _("A mail is on its way.")}


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
    """Describes an operation: its body, its success, the codes of its refusals, and an example of body and answer.

    A 202 is always about a mail, and has its example.
    """
    status, shape = success
    examples = [OpenApiExample("Mail", MAIL_EXAMPLE, response_only=True, status_codes=[202])]
    if example is not None:
        examples.append(OpenApiExample("Request", example, request_only=True))
    if answer is not None:
        examples.append(OpenApiExample("Answer", answer, response_only=True, status_codes=[status]))
    responses = {code: OpenApiResponse(other, summary) for code, other in [(status, shape), *(also or {}).items()]}
    name = re.sub(r"[^a-z]+", "_", summary.lower().replace("'", "")).strip("_")

    def describe(handler: Any) -> Any:
        refused = {"overloaded", *refusals}  # by the database, which may not be able to do it now
        codes = refused if shape is None else {"not_acceptable", *refused}
        codes |= set() if handler.__name__ in READING else OF_A_BODY
        codes |= set() if request is None else {"validation_error"}
        described = {"request": request, "responses": responses | _refusals(codes), "examples": examples, **options}
        described_handler = extend_schema(name, summary=summary, **described)(handler)
        described_handler.answers_without_body = shape is None  # content negotiation asks
        return described_handler

    return describe


def _refusals(codes: set[str]) -> dict[Any, OpenApiResponse]:
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(REFUSALS[code][0], []).append(code)
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            ProblemSerializer, " · ".join(f"`{code}`" for code in names), [_problem(code) for code in names]
        )
        for status, names in sorted(by_status.items())
    }


def _problem(code: str) -> OpenApiExample:
    status, title, detail = REFUSALS[code]
    document = {
        "type": f"https://id.example.com/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": EVENT_EXAMPLE["request_id"],
    }
    if code == "validation_error":
        document["errors"] = [{"field": "email", "code": "invalid", "detail": _("Enter a valid email address.")}]
    return OpenApiExample(code, document)


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the description names our way to sign in."""

    target_class = "accounts.access_tokens.SessionJWTAuthentication"
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class OperationSchema(AutoSchema):
    """Groups the operations by what they are about, and says of them what operation() does."""

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular's own
        """Not the docstring of the view, which is written for us."""
        return ""

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
