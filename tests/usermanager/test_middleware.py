"""The middleware answers as Django's own does, and runs that of pages for pages only."""

import logging
from collections.abc import Iterator
from typing import Any

import corsheaders.middleware
import pytest
from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware
from django.test import Client, RequestFactory
from django.urls import get_resolver
from django.utils import translation
from pytest_django import Settings

from usermanager.error_handlers import not_found
from usermanager.logs import ConsoleFormatter
from usermanager.middleware import (
    API_VIEWS,
    ApiMiddleware,
    CorsMiddleware,
    LanguageMiddleware,
    SecurityHeadersMiddleware,
)

COOKIES = {"sessionid": "x", "csrftoken": "x"}


def test_a_request_of_the_api_opens_no_session_and_changes_no_cookie(client: Client) -> None:
    client.cookies.load(COOKIES)
    for path in ("/health/live/", "/health/live", "/api/v1/nowhere/", "/.well-known/jwks.json"):
        answer = client.get(path)
        assert not hasattr(answer.wsgi_request, "session")
        assert not answer.cookies
        assert "Cookie" not in answer["Vary"]


@pytest.mark.django_db
def test_a_request_for_a_page_has_a_session(client: Client) -> None:
    client.cookies.load(COOKIES)
    answer = client.get("/admin/login/")
    assert hasattr(answer.wsgi_request, "session")
    assert set(answer.cookies) == {"sessionid", "csrftoken"}


def test_each_view_that_skips_the_csrf_check_needs_none() -> None:
    views = {route: view for route, view in routes(get_resolver().url_patterns) if route.startswith(API_VIEWS)}
    assert {"/api/v1/users/me/", "/health/live/", "/metrics", "/.well-known/jwks.json"} <= set(views)
    assert [route for route, view in views.items() if not getattr(view, "csrf_exempt", False)] == []


def routes(patterns: list[Any], prefix: str = "/") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


def test_views_of_paths_that_clients_choose_are_not_kept(rf: RequestFactory) -> None:
    middleware = ApiMiddleware(not_found)
    for path in ("/health/live/", "/health/live/", "/api/v1/users/7/", "/api/v1/nowhere/", "/api/v1/users/8/"):
        middleware(rf.get(path))
    assert list(middleware._matches) == ["/health/live/"]


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_response_has_the_headers_of_djangos_security_middleware(
    rf: RequestFactory, settings: Settings, seconds: int
) -> None:
    settings.SECURE_HSTS_SECONDS = seconds

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("{}", content_type="application/json", headers={"referrer-policy": "no-referrer"})

    for request in (rf.get("/api/v1/"), rf.get("/api/v1/", secure=True)):
        expected = SecurityMiddleware(view)(request).headers  # type: ignore[union-attr]  # an Awaitable only with ASGI
        answer = SecurityHeadersMiddleware(view)(request)
        assert "X-Content-Type-Options" in expected
        assert {name: answer.headers[name] for name in expected} == dict(expected)
        assert answer["Cache-Control"] == "no-store"
    assert answer.get("Strict-Transport-Security") == (f"max-age={seconds}" if seconds else None)


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/api/v1/users/me/", 200, "no-store"),
        ("/health/live/", 200, "no-store"),
        ("/static/logo.svg", 200, None),
        ("/static/logo.svg", 404, "no-store"),
    ],
)
def test_caches_keep_files_alone(rf: RequestFactory, path: str, status: int, expected: str | None) -> None:
    answer = SecurityHeadersMiddleware(lambda _: HttpResponse(status=status, content_type="x/y"))(rf.get(path))
    assert answer.get("Cache-Control") == expected


@pytest.mark.parametrize(
    "accepted", [None, "", "es", "es-MX,es;q=0.9", "de", "de, es;q=0.1, en;q=0.2", "*", ";;q=x", "e" * 600]
)
@pytest.mark.parametrize("cookie", [None, "language=es", "language=de", "language="])
def test_the_language_is_the_one_that_django_chooses(
    rf: RequestFactory, accepted: str | None, cookie: str | None
) -> None:
    request = rf.get("/")
    request.META |= {"HTTP_ACCEPT_LANGUAGE": accepted, "HTTP_COOKIE": cookie}
    for name in [name for name, value in request.META.items() if value is None]:
        del request.META[name]  # the factory sends an empty Cookie header
    expected = translation.get_language_from_request(request)

    def view(request: HttpRequest) -> HttpResponse:
        assert request.LANGUAGE_CODE == translation.get_language() == expected
        return HttpResponse()

    for answer in (LanguageMiddleware(view)(request), LanguageMiddleware(view)(request)):
        assert answer["Content-Language"] == expected
        assert answer["Vary"] == "Accept-Language"


def test_a_view_can_name_the_language_of_its_response(rf: RequestFactory) -> None:
    answer = LanguageMiddleware(lambda _request: HttpResponse(headers={"Content-Language": "de"}))(rf.get("/"))
    assert answer["Content-Language"] == "de"


@pytest.mark.parametrize(
    ("path", "vary"), [("/api/v1/nowhere/", "Accept-Language, origin"), ("/health/", "Accept-Language")]
)
def test_responses_of_the_api_vary_by_origin(client: Client, path: str, vary: str) -> None:
    assert client.get(path)["Vary"] == vary
    assert client.get(path, headers={"Origin": "https://app.example.com"})["Vary"] == vary


def test_a_preflight_without_an_origin_is_answered_as_by_corsheaders(rf: RequestFactory) -> None:
    request = rf.options("/api/v1/users/me/", headers={"Access-Control-Request-Method": "GET"})
    answer, theirs = CorsMiddleware(not_found)(request), corsheaders.middleware.CorsMiddleware(not_found)(request)
    assert answer.status_code == theirs.status_code == 200  # type: ignore[union-attr]
    assert dict(answer.items()) == dict(theirs.items())  # type: ignore[union-attr]


def test_a_line_of_the_log_is_formatted_as_python_does() -> None:
    ours, pythons = ConsoleFormatter(), logging.Formatter(ConsoleFormatter()._fmt, style="{")
    for created in (0.0, 0.999, 0.9996, 1.5, 1_700_000_000.123456, 1_700_000_000.9, 1.5):
        record = logging.makeLogRecord({"created": created, "msecs": created % 1 * 1000, "msg": "x", "request_id": "-"})
        assert ours.format(record) == pythons.format(record)
