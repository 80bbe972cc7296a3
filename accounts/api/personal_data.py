"""Exports the personal data of the caller."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from accounts import personal_data
from accounts.api.base import ApiView, AuthenticatedRequest
from accounts.api.output import OutputSerializer
from accounts.api.schema import (
    AUTHENTICATION_ERRORS,
    EVENT_EXAMPLE,
    FACTOR_EXAMPLE,
    SESSION_EXAMPLE,
    USER_EXAMPLE,
    operation,
)
from accounts.api.serializers import AuditEventSerializer, FactorSerializer, SessionSerializer, UserSerializer
from accounts.models import OneTimeToken, User
from accounts.personal_data import Pages, PersonalData

MAX_UNSTREAMED_BYTES = 64 * 1024  # a larger export is streamed
EXPORTED_USER_EXAMPLE = USER_EXAMPLE | {
    "suspended_until": None,
    "suspension_reason": "",
    "invited_at": None,
    "invitation_ended_at": None,
    "mfa_required_since": None,
    "mfa_reset_at": None,
}
TOKEN_EXAMPLE = {
    "id": "019388f1-8b20-7a11-9c3d-6e5f4a3b2c1d",
    "purpose": "verify_email",
    "email": USER_EXAMPLE["email"],
    "request": "019388f1-8b1f-7c02-a4e8-0d9c8b7a6f5e",
    "created_at": "2026-01-02T03:04:05.678901Z",
    "expires_at": "2026-01-05T03:04:05.678901Z",
    "used_at": None,
    "ended_at": None,
}


class ExportedUserSerializer(UserSerializer):
    class Meta(UserSerializer.Meta):
        fields = (*User.API_FIELDS, *User.OPERATOR_FIELDS, "mfa_required_since", "mfa_reset_at")
        read_only_fields = fields


class ExportedSessionSerializer(SessionSerializer):
    """Shows both times at which the session expires; elsewhere, `expires_at` is the earlier one."""

    expires_at = serializers.DateTimeField(read_only=True)

    class Meta(SessionSerializer.Meta):
        fields = (*SessionSerializer.Meta.fields, "idle_expires_at", "revoked_at", "is_moving")
        read_only_fields = fields


class ExportedTokenSerializer(OutputSerializer[OneTimeToken]):
    class Meta:
        model = OneTimeToken
        fields = ("id", "purpose", "email", "request", "created_at", "expires_at", "used_at", "ended_at")


class ExportSerializer(serializers.Serializer[Any]):
    """All data about a user except secrets. The other apps add theirs."""

    user = ExportedUserSerializer()
    factors = FactorSerializer(many=True)
    recovery_codes_left = serializers.IntegerField()
    sessions = ExportedSessionSerializer(many=True)
    audit = AuditEventSerializer(many=True)
    one_time_tokens = ExportedTokenSerializer(many=True)


class ExportView(ApiView):
    @operation(
        "Export one's own data",
        operation_id="export_all_that_is_stored_about_oneself",
        success=(200, ExportSerializer),
        errors=[*AUTHENTICATION_ERRORS, "throttled"],
        response_example={
            "user": EXPORTED_USER_EXAMPLE,
            "factors": [FACTOR_EXAMPLE],
            "recovery_codes_left": 10,
            "sessions": [
                SESSION_EXAMPLE
                | {"idle_expires_at": SESSION_EXAMPLE["expires_at"], "revoked_at": None, "is_moving": False}
            ],
            "audit": [EVENT_EXAMPLE],
            "one_time_tokens": [TOKEN_EXAMPLE],
        },
    )
    def get(self, request: AuthenticatedRequest) -> HttpResponseBase:
        """Returns a small document as a whole, so an error becomes a problem document; streams a larger one.

        If an error interrupts the stream, the document is not valid JSON, and the connection closes without the last
        chunk.
        """
        stored = personal_data.export(request.user)
        chunks, start = _document(stored, request), b""
        for chunk in chunks:
            start += chunk
            if len(start) > MAX_UNSTREAMED_BYTES:
                return StreamingHttpResponse(chain([start], chunks), content_type="application/json")
        return HttpResponse(start, content_type="application/json")

    def head(self, request: AuthenticatedRequest) -> HttpResponse:
        """Returns the headers. It reads nothing, so it does not count as an export."""
        return HttpResponse(content_type="application/json")


def _document(stored: PersonalData, request: AuthenticatedRequest) -> Iterator[bytes]:
    parts: list[tuple[str, Pages, type[serializers.BaseSerializer[Any]] | None]] = [
        *((name, pages, None) for name, pages in stored.from_other_apps.items()),
        ("sessions", stored.sessions, ExportedSessionSerializer),
        ("audit", stored.audit, AuditEventSerializer),
        ("one_time_tokens", stored.one_time_tokens, ExportedTokenSerializer),
    ]
    yield b'{"user":' + _json(ExportedUserSerializer.show(stored.user))
    yield b',"factors":' + _json(FactorSerializer(stored.factors, many=True).data)
    yield b',"recovery_codes_left":' + _json(stored.recovery_codes_left)
    for name, pages, serializer in parts:
        yield b"," + _json(name) + b":["
        show = serializer(context={"request": request}).to_representation if serializer else None
        for number, page in enumerate(pages):
            rows = [show(row) for row in page] if show else page
            yield (b"," if number else b"") + _json(rows)[1:-1]
        yield b"]"
    yield b"}"


def _json(value: Any) -> bytes:
    text: bytes = JSONRenderer().render(value)
    return text
