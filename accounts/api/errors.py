"""Every refusal as a problem document (RFC 9457), whoever raised it."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from drf_standardized_errors.formatter import flatten_errors
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions

from accounts import database_errors, origin
from accounts.api.negotiation import PROBLEM_TYPE
from accounts.errors import AccountError, InvalidInput, Overloaded

CONTENT_TYPE = PROBLEM_TYPE
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
    "validation_error": _("Some of the input cannot be taken; see errors."),
    "server_error": _("Something went wrong on our side. The request id helps us to find it."),
    "overloaded": database_errors.DETAIL,
}


class Refusal(exceptions.APIException):
    """An AccountError on its way through REST framework."""

    def __init__(self, error: AccountError) -> None:
        super().__init__(str(error.detail), error.code)
        self.error = error
        self.status_code = error.status


class ProblemHandler(ExceptionHandler):
    """Turns an exception into an answer. An unexpected exception becomes a 500 and is logged; a temporary error of the
    database becomes a 503."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        refusal = exc if isinstance(exc, AccountError) else database_errors.refusal(exc)
        if refusal:
            return Refusal(refusal)
        return super().convert_known_exceptions(exc)

    def format_exception(self, exc: exceptions.APIException) -> dict[str, Any]:
        if isinstance(exc, Refusal):
            return _document(exc.error)
        if isinstance(exc, exceptions.ValidationError):
            faults = [_error(one.attr, one.code, one.detail) for one in flatten_errors(exc.detail)]
            return problem("validation_error", 400, errors=faults)
        code = "server_error" if exc.status_code >= 500 else str(exc.get_codes())
        return problem(code, exc.status_code, detail=str(DETAILS.get(code, exc.detail)))

    def get_response(self, exc: exceptions.APIException, data: dict[str, Any]) -> HttpResponse:  # type: ignore[override]
        """Not one that REST framework renders: a view that answers in YAML or HTML refuses in JSON."""
        return _answer(data, self.get_headers(exc))

    def report_exception(self, exc: exceptions.APIException, response: Any) -> None:
        """A refusal is no fault of ours, a 503 neither: a flood of them must not become one of tracebacks."""
        if isinstance(exc, Refusal):
            response._has_been_logged = True  # Django asks; the access log has its line
        else:
            super().report_exception(exc, response)

    def get_headers(self, exc: exceptions.APIException) -> dict[str, str]:
        headers: dict[str, str] = super().get_headers(exc)
        if exc.status_code == 401:
            headers["WWW-Authenticate"] = CHALLENGE
        return headers | (_retry_after(exc.error) if isinstance(exc, Refusal) else {})


def handle(exc: Exception, context: Any) -> HttpResponse | None:
    """REST framework's EXCEPTION_HANDLER."""
    return ProblemHandler(exc, context).run()


def problem(
    code: str, status: int, title: str = "", detail: str = "", errors: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The document; texts are in the language of the request."""
    document = {
        "type": f"{settings.PUBLIC_URL}/problems/{code}",
        "title": title or str(TITLES.get(code, code)),
        "status": status,
        "detail": str(detail or DETAILS.get(code, "")),
        "code": code,
        "instance": origin.current.get().request_id,
    }
    return document | ({"errors": errors} if errors else {})


def problem_response(code: str, status: int, detail: str = "") -> HttpResponse:
    """The document as an answer of Django, for what REST framework never sees."""
    return _answer(problem(code, status, detail=detail))


def refusal(error: AccountError) -> HttpResponse:
    """The answer to a request that REST framework shall never see."""
    response = _answer(_document(error), _retry_after(error))
    response._has_been_logged = True  # type: ignore[attr-defined]  # as in report_exception()
    return response


def _document(error: AccountError) -> dict[str, Any]:
    return problem(error.code, error.status, str(error.title), str(error.detail), _faults(error))


def _retry_after(error: AccountError) -> dict[str, str]:
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after_seconds)}


def _answer(document: dict[str, Any], headers: dict[str, str] | None = None) -> HttpResponse:
    body = json.dumps(document, ensure_ascii=False)
    return HttpResponse(body, content_type=CONTENT_TYPE, status=document["status"], headers=headers)


def _faults(error: AccountError) -> list[dict[str, Any]] | None:
    if isinstance(error, InvalidInput):
        return [_error(field, code, str(detail)) for field, code, detail in error.faults]
    return None


def _error(field: str | None, code: str, detail: str) -> dict[str, Any]:
    return {"field": None if field == "non_field_errors" else field, "code": code, "detail": detail}
