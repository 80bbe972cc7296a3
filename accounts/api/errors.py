"""Turns errors of use cases, of REST framework and of the database into problem documents (RFC 9457)."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from drf_standardized_errors.formatter import flatten_errors
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions

from accounts import database_errors, request_context
from accounts.api.content_negotiation import PROBLEM_TYPE
from accounts.errors import AccountError, FreshLoginRequired, InvalidInput, Overloaded

CHALLENGE = "Bearer"

TITLES = {
    "validation_error": _("Invalid input"),
    "parse_error": _("Malformed request"),
    "not_authenticated": _("Not signed in"),
    "permission_denied": _("Permission denied"),
    "not_found": _("Not found"),
    "method_not_allowed": _("Method not allowed"),
    "not_acceptable": _("Not acceptable"),
    "payload_too_large": _("Payload too large"),
    "unsupported_media_type": _("Unsupported media type"),
    "server_error": _("Internal error"),
    "overloaded": Overloaded.title,
}
DETAILS = {
    "validation_error": _('Some fields are invalid. See "errors" for details.'),
    "server_error": _("Something went wrong on our side. Please mention the request ID when you report this."),
    "overloaded": database_errors.DETAIL,
}


class WrappedAccountError(exceptions.APIException):
    """Wraps an AccountError in an exception that REST framework handles."""

    def __init__(self, error: AccountError) -> None:
        super().__init__(str(error.detail), error.code)
        self.error = error
        self.status_code = error.status


class ProblemHandler(ExceptionHandler):
    """Turns an exception into a response.

    An unexpected exception becomes a 500 and is logged. A temporary error of the database becomes a 503.
    """

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        error = exc if isinstance(exc, AccountError) else database_errors.handle(exc)
        if error:
            return WrappedAccountError(error)
        return super().convert_known_exceptions(exc)

    def format_exception(self, exc: exceptions.APIException) -> dict[str, Any]:
        if isinstance(exc, WrappedAccountError):
            return _document_of(exc.error)
        if isinstance(exc, exceptions.ValidationError):
            errors = [_field_error(error.attr, error.code, error.detail) for error in flatten_errors(exc.detail)]
            return problem_document("validation_error", 400, errors=errors)
        code = "server_error" if exc.status_code >= 500 else str(exc.get_codes())
        return problem_document(code, exc.status_code, detail=str(DETAILS.get(code, exc.detail)))

    def get_response(self, exc: exceptions.APIException, data: dict[str, Any]) -> HttpResponse:  # type: ignore[override]
        """Returns a Django response, because REST framework would render it in the format of the view, such as YAML."""
        return _response(data, self.get_headers(exc))

    def report_exception(self, exc: exceptions.APIException, response: Any) -> None:
        """Logs only unexpected exceptions. A rejected request and a 503 are expected."""
        if not isinstance(exc, WrappedAccountError):
            super().report_exception(exc, response)

    def get_headers(self, exc: exceptions.APIException) -> dict[str, str]:
        headers: dict[str, str] = super().get_headers(exc)
        if exc.status_code == 401:
            error = getattr(exc, "error", None)
            headers["WWW-Authenticate"] = error.challenge if isinstance(error, FreshLoginRequired) else CHALLENGE
        return headers | (_retry_after(exc.error) if isinstance(exc, WrappedAccountError) else {})


def handle(exc: Exception, context: Any) -> HttpResponse | None:
    """Handles an exception of a view (the setting EXCEPTION_HANDLER)."""
    return ProblemHandler(exc, context).run()


def problem_document(
    code: str, status: int, title: str = "", detail: str = "", errors: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Returns the document, with texts in the language of the request."""
    document = {
        "type": f"{settings.PUBLIC_URL}/problems/{code}",
        "title": title or str(TITLES.get(code, code)),
        "status": status,
        "detail": str(detail or DETAILS.get(code, "")),
        "code": code,
        "instance": request_context.current.get().request_id,
    }
    return document | ({"errors": errors} if errors else {})


def problem_response(code: str, status: int, detail: str = "") -> HttpResponse:
    """Returns the document as a Django response, for code outside REST framework's views."""
    return _response(problem_document(code, status, detail=detail))


def error_response(error: AccountError) -> HttpResponse:
    """Returns the response to an error that is raised outside REST framework's handling of exceptions."""
    return _response(_document_of(error), _retry_after(error))


def _document_of(error: AccountError) -> dict[str, Any]:
    errors = None
    if isinstance(error, InvalidInput):
        errors = [_field_error(field, code, str(detail)) for field, code, detail in error.errors]
    return {**problem_document(error.code, error.status, str(error.title), str(error.detail), errors), **error.members}


def _retry_after(error: AccountError) -> dict[str, str]:
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after_seconds)}


def _response(document: dict[str, Any], headers: dict[str, str] | None = None) -> HttpResponse:
    body = json.dumps(document, ensure_ascii=False)
    return HttpResponse(body, content_type=PROBLEM_TYPE, status=document["status"], headers=headers)


def _field_error(field: str | None, code: str, detail: str) -> dict[str, Any]:
    return {"field": None if field == "non_field_errors" else field, "code": code, "detail": detail}
