"""One's own account."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from accounts import personal_data, users
from accounts.api.base import ApiView, SignedIn, read
from accounts.api.fields import FullNameField, LocaleField, PasswordField
from accounts.api.outputs import AuditEventSerializer, SessionSerializer, UserSerializer
from accounts.api.schema import EVENT_EXAMPLE, SESSION_EXAMPLE, SIGNED_IN, USER_EXAMPLE, operation
from accounts.models import OneTimeToken
from accounts.personal_data import Pages, PersonalData

SENT_WHOLE = 64 * 1024  # bytes; the first page of a larger export is sent at once
NEVER = {"suspended_until": None, "suspension_reason": "", "invited_at": None, "invitation_ended_at": None}
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


class OwnChanges(serializers.Serializer[Any]):
    full_name = FullNameField()
    locale = LocaleField()


class LeaveInput(serializers.Serializer[Any]):
    current_password = PasswordField(max_length=1024)


class MeView(ApiView):
    @operation("See one's own account", success=(200, UserSerializer), refusals=SIGNED_IN, answer=USER_EXAMPLE)
    def get(self, request: SignedIn) -> Response:
        return Response(UserSerializer(request.user).data)

    @operation(
        "Change one's own account",
        request=OwnChanges,
        success=(200, UserSerializer),
        refusals=[*SIGNED_IN, "throttled"],
        example={"full_name": "Ana García", "locale": "es"},
        answer=USER_EXAMPLE,
    )
    def patch(self, request: SignedIn) -> Response:
        user = users.update(request.user, actor=request.user, **read(OwnChanges, request))
        return Response(UserSerializer(user).data)

    @operation(
        "Leave",
        description="Everything of the user is gone afterwards; audit events keep the id alone.",
        request=LeaveInput,
        refusals=[*SIGNED_IN, "last_admin", "throttled", "overloaded"],
        example={"current_password": "correct horse battery staple"},
    )
    def delete(self, request: SignedIn) -> Response:
        users.delete_own(request.user, read(LeaveInput, request)["current_password"])
        return Response(status=204)


class ExportedUserSerializer(UserSerializer):
    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, *NEVER)
        read_only_fields = fields


class ExportedSessionSerializer(SessionSerializer):
    """With both of its ends, of which others see the one that comes first."""

    expires_at = serializers.DateTimeField(read_only=True)

    class Meta(SessionSerializer.Meta):
        fields = (*SessionSerializer.Meta.fields, "idle_expires_at", "revoked_at", "is_moving")
        read_only_fields = fields


class ExportedTokenSerializer(serializers.ModelSerializer[OneTimeToken]):
    class Meta:
        model = OneTimeToken
        fields = ("id", "purpose", "email", "request", "created_at", "expires_at", "used_at", "ended_at")


class ExportSerializer(serializers.Serializer[Any]):
    """All that is stored about a person but secrets; the other parts of the system add theirs."""

    user = ExportedUserSerializer()
    sessions = ExportedSessionSerializer(many=True)
    audit = AuditEventSerializer(many=True)
    one_time_tokens = ExportedTokenSerializer(many=True)


class ExportView(ApiView):
    @operation(
        "Export all that is stored about oneself",
        success=(200, ExportSerializer),
        refusals=[*SIGNED_IN, "throttled"],
        answer={
            "user": USER_EXAMPLE | NEVER,
            "sessions": [
                SESSION_EXAMPLE
                | {"idle_expires_at": SESSION_EXAMPLE["expires_at"], "revoked_at": None, "is_moving": False}
            ],
            "audit": [EVENT_EXAMPLE],
            "one_time_tokens": [TOKEN_EXAMPLE],
        },
    )
    def get(self, request: SignedIn) -> HttpResponseBase:
        """A small document is sent whole, and an error in it is a problem document. A larger one is sent while it is
        read: if it breaks off, it is no JSON, and its connection ends without the last chunk."""
        stored = personal_data.export(request.user)
        chunks, begun = _document(stored, request), b""
        for chunk in chunks:
            begun += chunk
            if len(begun) > SENT_WHOLE:
                return StreamingHttpResponse(chain([begun], chunks), content_type="application/json")
        return HttpResponse(begun, content_type="application/json")

    def head(self, request: SignedIn) -> HttpResponse:
        """Counts nothing and reads nothing, as nothing is sent."""
        return HttpResponse(content_type="application/json")


def _document(stored: PersonalData, request: SignedIn) -> Iterator[bytes]:
    shapes: list[tuple[str, Pages, type[serializers.BaseSerializer[Any]] | None]] = [
        *((name, pages, None) for name, pages in stored.of_others.items()),
        ("sessions", stored.sessions, ExportedSessionSerializer),
        ("audit", stored.audit, AuditEventSerializer),
        ("one_time_tokens", stored.one_time_tokens, ExportedTokenSerializer),
    ]
    yield b'{"user":' + _json(ExportedUserSerializer(stored.user).data)
    for name, pages, shape in shapes:
        yield b"," + _json(name) + b":["
        show = shape(context={"request": request}).to_representation if shape else None
        for number, page in enumerate(pages):
            rows = [show(row) for row in page] if show else page
            yield (b"," if number else b"") + _json(rows)[1:-1]
        yield b"]"
    yield b"}"


def _json(value: Any) -> bytes:
    text: bytes = JSONRenderer().render(value)
    return text
