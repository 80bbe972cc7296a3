"""Every request gets an id and security headers, may omit the final slash, and gets a 404 for an unknown path."""

import logging

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from accounts import request_context
from tests.conftest import refused
from usermanager import error_handlers
from usermanager.middleware import RequestContextMiddleware

VERBS = ["get", "post", "put", "patch", "delete", "options"]


def test_a_valid_request_id_is_kept_and_returned(client: Client) -> None:
    answer = client.get("/health/live/", headers={"X-Request-ID": "Trace-1.a_b"})
    assert answer["X-Request-ID"] == "Trace-1.a_b"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", "a\tb", "<script>"])
def test_any_other_request_id_is_replaced(client: Client, given: str) -> None:
    answer = client.get("/health/live/", headers={"X-Request-ID": given})
    assert answer["X-Request-ID"] != given
    assert len(answer["X-Request-ID"]) == 32


def test_a_problem_document_names_the_request(client: Client) -> None:
    answer = client.get("/api/v1/nowhere/", headers={"X-Request-ID": "abc"})
    assert refused(answer, 404, "not_found")["instance"] == "abc"


def test_use_cases_see_the_request_context() -> None:
    seen: list[request_context.RequestContext] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request_context.current.get())
        return HttpResponse()

    RequestContextMiddleware(view)(RequestFactory().get("/", headers={"X-Request-ID": "abc", "User-Agent": "curl"}))
    assert seen == [request_context.RequestContext("127.0.0.1", "curl", "abc")]
    assert request_context.current.get() == request_context.RequestContext()


@pytest.mark.django_db
def test_the_log_has_a_line_for_each_request_without_its_query(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/reset-password?token=secret")
        client.get("/api/v1/nowhere?token=secret")
    assert "GET /reset-password" in caplog.text
    assert "GET /api/v1/nowhere" in caplog.text
    assert "secret" not in caplog.text


def test_a_path_cannot_forge_a_line_of_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="usermanager.access"):
        client.get("/x%0AGET%20/admin/%20200")
    assert all("\n" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("path", ["/health/live", "/api/v1/nowhere", "/api/v1", "/api"])
def test_a_path_without_its_final_slash_gets_the_same_response(client: Client, verb: str, path: str) -> None:
    without, with_slash = getattr(client, verb)(path), getattr(client, verb)(f"{path}/")
    assert without.status_code == with_slash.status_code
    assert without.status_code not in {301, 302, 307, 308}
    assert without["Content-Type"] == with_slash["Content-Type"]


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_path_of_the_api_is_not_found_with_any_method(client: Client, verb: str) -> None:
    refused(getattr(client, verb)("/api/v2/users/"), 404, "not_found")


def test_an_unknown_path_is_not_found_with_an_expired_token(client: Client) -> None:
    refused(client.get("/api/nowhere/", headers={"Authorization": "Bearer stale"}), 404, "not_found")


def test_a_method_that_does_not_exist_is_a_problem_document(client: Client) -> None:
    refused(client.post("/health/live/"), 405, "method_not_allowed")


def test_an_unknown_host_is_rejected(client: Client) -> None:
    refused(client.get("/api/v1/users/me/", headers={"Host": "evil.example.com"}), 400, "parse_error")


def test_the_log_names_the_setting_that_rejects_a_host_once_per_host(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    error_handlers._log_rejected_host.cache_clear()
    with caplog.at_level(logging.WARNING):
        for host in ("id.example.com:8000", "id.example.com:8000", "bad host\x1b"):
            answer = client.get("/api/v1/users/me/", headers={"Host": host})
            assert "ALLOWED_HOSTS" not in answer.content.decode()  # only the operator may know
    assert [record.getMessage() for record in caplog.records if "ALLOWED_HOSTS" in record.getMessage()] == [
        f"rejected the host {host!r}; if clients may use it, add it to ALLOWED_HOSTS"
        for host in ("id.example.com:8000", "bad host")
    ]


@pytest.mark.parametrize(
    ("language", "words"), [("es", "no responde a peticiones para este nombre"), ("en", "requests for this host name")]
)
def test_an_unknown_host_is_rejected_in_the_language_of_the_client(client: Client, language: str, words: str) -> None:
    headers = {"Host": "evil.example.com", "Accept-Language": language}
    assert words in refused(client.get("/api/v1/users/me/", headers=headers), 400, "parse_error")["detail"]
    page = client.get("/reset-password", headers={**headers, "Accept": "text/html"})
    assert (page.status_code, words in page.content.decode()) == (400, True)


def test_browsers_get_a_page_where_programs_get_a_document(client: Client) -> None:
    page = client.get("/nowhere", headers={"Accept": "text/html,application/xhtml+xml", "Accept-Language": "en"})
    assert page.status_code == 404
    assert "<h1>Not found</h1>" in page.content.decode()
    refused(client.get("/nowhere", headers={"Accept": "application/json"}), 404, "not_found")
    refused(client.get("/api/nowhere/", headers={"Accept": "text/html"}), 404, "not_found")


def test_a_crash_outside_the_api_views_is_a_problem_document_too(rf: RequestFactory) -> None:
    answer = error_handlers.server_error(rf.get("/api/v1/users/"))
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")


def test_responses_of_the_api_load_nothing_and_are_not_cached(client: Client) -> None:
    answer = client.get("/api/v1/nowhere/")
    assert answer["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/api/docs/"])
def test_pages_load_from_this_server_only_and_run_no_inline_scripts(client: Client, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    policy = page["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert 'src="http' not in page.content.decode()
    assert "<style" not in page.content.decode()


def test_forms_send_their_origin_and_other_sites_get_no_referrer(client: Client) -> None:
    assert client.get("/health/live/")["Referrer-Policy"] == "same-origin"


def test_only_allowed_origins_may_read_the_api_and_only_the_api(client: Client, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    chosen, other = {"Origin": "https://app.example.com"}, {"Origin": "https://evil.example.com"}
    assert client.get("/api/v1/nowhere/", headers=chosen)["Access-Control-Allow-Origin"] == chosen["Origin"]
    assert "Access-Control-Allow-Origin" not in client.get("/api/v1/nowhere/", headers=other)
    assert "Access-Control-Allow-Origin" not in client.get("/health/live/", headers=chosen)


def test_a_web_application_may_send_tracing_headers_and_read_ours(client: Client, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    origin = {"Origin": "https://app.example.com"}
    asked = "authorization, content-type, traceparent, tracestate, baggage, sentry-trace"
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    allowed = client.options("/api/v1/auth/login/", headers=origin | preflight)["Access-Control-Allow-Headers"]
    assert set(asked.split(", ")) <= set(allowed.split(", "))
    exposed = client.get("/api/v1/users/me/", headers=origin)["Access-Control-Expose-Headers"].split(", ")
    assert {"location", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate", "x-request-id"} <= set(
        exposed
    )


def test_a_preflight_is_answered_without_the_final_slash(client: Client, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    answer = client.options("/api/v1/auth/login", headers=headers)
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == "https://app.example.com"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/users/me/",
        "/api/v1/nowhere/",
        "/nowhere",
        "/admin/login/",
        "/health/live/",
        "/.well-known/jwks.json",
        "/static/usermanager/docs.css",
    ],
)
def test_every_response_has_the_security_headers(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    is_for_all = path.startswith("/.well-known/")
    assert answer["Cross-Origin-Resource-Policy"] == ("cross-origin" if is_for_all else "same-origin")
    assert "camera=()" in answer["Permissions-Policy"]
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert "default-src 'none'" in answer["Content-Security-Policy"]
