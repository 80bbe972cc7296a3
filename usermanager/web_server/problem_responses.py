"""Problem documents for requests that never reach Django: malformed, incomplete or too many."""

import json
from http import HTTPStatus
from typing import NamedTuple

from django.conf import settings
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException

RETRY_SECONDS = 2
RESPONSE = (
    "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    "Content-Length: {length}\r\nX-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nCache-Control: no-store\r\n{headers}\r\n"
)


class Problem(NamedTuple):
    """A problem document in English: the language of a request that was not parsed is unknown."""

    status: HTTPStatus
    code: str
    title: str
    detail: str
    headers: str = ""


MALFORMED = Problem(HTTPStatus.BAD_REQUEST, "parse_error", "Malformed request", "This request cannot be understood.")
INCOMPLETE = Problem(
    HTTPStatus.BAD_REQUEST, "parse_error", "Malformed request", "The request was incomplete or took too long to arrive."
)
OVERLOADED = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded",
    "Overloaded",
    "Too many requests from your network are still open. Please try again in a moment.",
    f"Retry-After: {RETRY_SECONDS}\r\n",
)
TOO_LARGE: dict[type[ParseException], Problem] = {
    LimitRequestLine: Problem(
        HTTPStatus.REQUEST_URI_TOO_LONG,
        "uri_too_long",
        "Address too long",
        "The address of a request can have at most 8 KB.",
    ),
    LimitRequestHeaders: Problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "Headers too large",
        "A request can have at most 100 headers, each of at most 8 KB.",
    ),
}


def problem_response(problem: Problem, request_id: str) -> bytes:
    """Returns the bytes of a response that closes the connection."""
    document = {
        "type": f"{settings.PUBLIC_URL}/problems/{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "instance": request_id,
    }
    body = json.dumps(document)
    status = {"status": problem.status.value, "reason": problem.status.phrase, "headers": problem.headers}
    return (RESPONSE.format(**status, length=len(body), request_id=request_id) + body).encode()
