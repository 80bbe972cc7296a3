"""Describes the operations for the OpenAPI document: their bodies, responses, errors and examples."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from drf_spectacular.contrib.django_filters import DjangoFilterExtension
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.exceptions import NotAcceptable, UnsupportedMediaType

from accounts import errors
from accounts.api.content_negotiation import PROBLEM_TYPE
from accounts.api.errors import DETAILS, TITLES
from accounts.api.parsers import PayloadTooLarge
from accounts.listing import filters

# Not at the classes themselves: manage.py uses the filters too, and drf-spectacular takes a tenth of its start.
extend_schema_field(OpenApiTypes.BOOL)(filters.FlagFilter)
extend_schema_field(OpenApiTypes.DATETIME)(filters.TimeFilter)
# Otherwise it starts gcc and ld a dozen times, to look for libraries of maps.
DjangoFilterExtension._has_gis = False  # type: ignore[attr-defined]

#: Status, title and detail of each error code.
ERRORS = {
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
#: The errors of every operation that reads a body, even if it needs none.
BODY_ERRORS = {"parse_error", "unsupported_media_type"}
#: REST framework's names for the handlers of GET, whose body is not read.
READ_ACTIONS = {"get", "list", "retrieve"}
OPTIONAL_AUTH: list[dict[str, list[str]]] = [{"bearerAuth": []}, {}]
TOKEN_ERRORS = ("not_authenticated", "token_not_valid")
#: The errors of every signed-in request, except those to log out, to authenticate again and to add a second factor.
AUTHENTICATION_ERRORS = (*TOKEN_ERRORS, "enrolment_required")
USER_EXAMPLE = {
    "id": "019388f1-7c4e-7d0a-9f6e-2b9d1c3f5a70",
    "email": "ana@example.com",
    "full_name": "Ana",
    "role": "user",
    "is_active": True,
    "email_verified": False,
    "mfa_enabled": False,
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
    "acr": "aal1",
    "amr": ["pwd"],
    "authenticated_at": "2026-01-02T03:04:05.678901Z",
}
FACTOR_EXAMPLE = {
    "id": "019388f2-3b77-7aa1-b0c4-9d8e7f6a5b4c",
    "type": "totp",
    "name": "Authenticator app",
    "created_at": "2026-01-02T03:04:05.678901Z",
    "last_used_at": "2026-01-02T03:04:05.678901Z",
    "is_synced": False,
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
EMAIL_EXAMPLE = {"detail": _("The email is on its way.")}
REQUEST_OPTIONS_EXAMPLE = {
    "challenge": "AQGgk3…",
    "timeout": 300_000,
    "rpId": "id.example.com",
    "userVerification": "required",
}
OWN_OPTIONS_EXAMPLE = {
    **REQUEST_OPTIONS_EXAMPLE,
    "userVerification": "discouraged",
    "allowCredentials": [{"type": "public-key", "id": "m8Zt…", "transports": ["internal"]}],
}
PENDING_LOGIN_EXAMPLE = {"mfa_token": "kX9…", "expires_in": 300}
#: Further members of problem documents, by code.
MEMBER_EXAMPLES: dict[str, dict[str, Any]] = {
    "validation_error": {
        "errors": [{"field": "email", "code": "invalid", "detail": _("Enter a valid email address.")}]
    },
    "second_factor_required": {
        **PENDING_LOGIN_EXAMPLE,
        "methods": ["totp", "passkey", "recovery_code"],
        "passkey": OWN_OPTIONS_EXAMPLE,
    },
    "enrolment_required": {"needs_mail": False},
    "fresh_login_required": {"methods": ["totp", "recovery_code"]},
}
CHALLENGE_EXAMPLE = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age="600"'


@extend_schema_serializer(component_name="Fault")  # its name in generated clients
class FieldErrorSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(allow_null=True, help_text="Null if the error concerns no single field.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """A problem document (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField(help_text="In the language of the request.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="A sentence to show to the user, in the language of the request.")
    code = serializers.CharField(help_text="Stable and never translated.")
    instance = serializers.CharField(help_text="The request ID, as in X-Request-ID.")
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]
    mfa_token = serializers.CharField(
        required=False,
        help_text="With `second_factor_required`, for `auth/login/second-factor/`. With the `enrolment_required` of a "
        "login, for the requests that add a second factor.",
    )
    expires_in = serializers.IntegerField(required=False, help_text="Seconds until the `mfa_token` ends.")
    methods = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="With `second_factor_required` and `fresh_login_required`: what the user can prove, of `totp`, "
        "`passkey`, `recovery_code` and, for a user without a second factor, `password`.",
    )
    passkey = serializers.DictField(
        required=False,
        help_text="With `second_factor_required`, if the user has a passkey: a "
        "`PublicKeyCredentialRequestOptionsJSON`.",
    )
    needs_mail = serializers.BooleanField(
        required=False,
        help_text="With `enrolment_required`: whether the user also needs the link that was emailed to them.",
    )


def operation(
    summary: str,
    *,
    operation_id: str = "",
    request: Any = None,
    success: tuple[int, Any] = (204, None),
    also: dict[int, Any] | None = None,
    errors: Iterable[str] = (),
    permission: str = "",
    is_open_to_owner: bool = False,
    ignores_body: bool = False,
    description: str = "",
    parameters: Sequence[OpenApiParameter] = (),
    request_example: dict[str, Any] | None = None,
    response_example: Any = None,
    **options: Any,
) -> Callable[[Any], Any]:
    """Describes an operation: its body, its successful responses, the codes of its errors, and examples.

    `permission` is the one that the operation requires and, if it `is_open_to_owner`, only for another user.
    If it `ignores_body`, it accepts any body up to the size limit. Others reject a malformed one even if they need
    none.
    Without an `operation_id`, which names the function in generated clients, it is the summary in snake case. A 202
    always reports an email, and has an example for that.
    """
    status, serializer = success
    examples = [OpenApiExample("Mail", EMAIL_EXAMPLE, response_only=True, status_codes=[202])]
    if request_example is not None:
        examples.append(OpenApiExample("Request", request_example, request_only=True))
    if response_example is not None:
        examples.append(OpenApiExample("Answer", response_example, response_only=True, status_codes=[status]))
    responses = {code: OpenApiResponse(body, summary) for code, body in [success, *(also or {}).items()]}
    name = operation_id or re.sub(r"[^a-z]+", "_", summary.lower().replace("'", "")).strip("_")

    description = " ".join(filter(None, [description, _about(permission, is_open_to_owner=is_open_to_owner)]))

    def describe(handler: Any) -> Any:
        codes = {"overloaded", "payload_too_large", *errors}  # overloaded: while the database is unavailable
        codes |= set() if serializer is None else {"not_acceptable"}
        codes |= set() if ignores_body or handler.__name__ in READ_ACTIONS else BODY_ERRORS
        codes |= set() if request is None else {"validation_error"}
        options.update(request=request, responses=responses | _error_responses(codes), examples=examples)
        options.update(description=description, parameters=[*parameters, *_error_headers(codes)])
        described_handler = extend_schema(name, summary=summary, **options)(handler)
        described_handler.answers_without_body = serializer is None  # read by content_negotiation.py
        described_handler.ignores_body = ignores_body  # read by base.py
        return described_handler

    return describe


def _about(permission: str, *, is_open_to_owner: bool) -> str:
    """Returns a sentence about the permission, or no text without one."""
    if not permission:
        return ""
    return f"{'For another user, it requires' if is_open_to_owner else 'Requires'} the permission `{permission}`."


def _error_headers(codes: set[str]) -> list[OpenApiParameter]:
    """Describes the headers of the errors with these codes."""
    header = partial(OpenApiParameter, location=OpenApiParameter.HEADER, required=True)
    challenge = header("WWW-Authenticate", str, response=[401], description="The challenge of RFC 6750: `Bearer`.")
    if "fresh_login_required" in codes:
        challenge.description += (
            f" With `fresh_login_required`, that of RFC 9470: `{CHALLENGE_EXAMPLE}`. The user must have authenticated "
            "in the last `max_age` seconds. `acr_values` is absent for a user without a second factor."
        )
    return [challenge, header("Retry-After", int, response=[429, 503], description="Seconds to wait.")]


def _error_responses(codes: set[str]) -> dict[Any, OpenApiResponse]:
    is_login = "second_factor_required" in codes
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(ERRORS[code][0], []).append(code)
    return {
        (status, PROBLEM_TYPE): OpenApiResponse(
            ProblemSerializer,
            " · ".join(f"`{code}`" for code in names),
            [_problem_example(code, is_login=is_login) for code in names],
        )
        for status, names in sorted(by_status.items())
    }


def _problem_example(code: str, *, is_login: bool) -> OpenApiExample:
    status, title, detail = ERRORS[code]
    document = {
        "type": f"https://id.example.com/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": EVENT_EXAMPLE["request_id"],
    }
    members = MEMBER_EXAMPLES.get(code, {})
    if is_login and code == "enrolment_required":
        members = PENDING_LOGIN_EXAMPLE | members
    return OpenApiExample(code, document | members)


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes authentication by access token."""

    target_class = "accounts.jwt.access_tokens.SessionJWTAuthentication"
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class OperationSchema(AutoSchema):
    """Groups the operations by resource, and uses the descriptions that operation() adds."""

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular's own
        """Returns no text: the docstring of the view is written for developers of UserManager."""
        return ""

    def _get_request_body(self, direction: str = "request") -> Any:
        """Describes the body of a DELETE as well, for which drf-spectacular describes none."""
        method, self.method = self.method, "POST" if self.method == "DELETE" else self.method
        try:
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = method

    def get_tags(self) -> list[str]:
        parts = self.path.removeprefix("/api/v1/").strip("/").split("/")
        return [next((part for part in ("audit", "sessions") if part in parts), parts[0])]
