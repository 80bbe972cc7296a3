"""All responses have protective headers and cookies."""

import re

import pytest

from tests.attacks.client import Call
from tests.attacks.conftest import from_ip
from tests.attacks.service import Service

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


EVERYWHERE = [
    *("/api/v1/users/me/", "/api/v1/nothing/", "/api/schema/", "/api/docs/", "/health/live/", "/admin/login/", "/nope"),
    *(
        "/admin/",
        "/.well-known/jwks.json",
        "/reset-password?token=x",
        "/verify-email?token=x",
        "/metrics",
        "/api/v1/roles/",
    ),
]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_each_response_has_the_protective_headers(path: str, service: Service, guarded: Service) -> None:
    for one in (service, guarded):
        for accept in ("text/html", "application/json"):
            answer = one.send(Call("GET", path, headers={"Accept": accept} | from_ip("198.18.5.5")))
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
            assert answer.headers["Referrer-Policy"] in ("same-origin", "strict-origin", "no-referrer")
            policy = answer.headers["Content-Security-Policy"]
            assert not {"unsafe", "http", "*"} & set(re.split(r"[\s;:'-]+", policy)), policy
            assert policy.startswith("default-src 'none'")
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["Server"] in (None, "gunicorn")
            assert (answer.headers["Strict-Transport-Security"] is not None) == (one is guarded)


def test_cookies_are_limited_to_https_and_hidden_from_scripts(guarded: Service) -> None:
    form = guarded.send(Call("GET", "/admin/login/", headers=from_ip("198.18.5.6")))
    cookies = form.headers.get_all("Set-Cookie") or []
    assert cookies
    for cookie in cookies:
        attributes = {part.strip().lower() for part in cookie.split(";")}
        assert {"secure", "httponly"} <= attributes
        assert {"samesite=lax", "samesite=strict"} & attributes


@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "messages", "language"])
@pytest.mark.parametrize("value", ['"\\000aaaaaaaaaaaa"', '"a\\200\\377"', "x" * 3000, "a:b:c", "é"])
def test_an_invalid_cookie_causes_no_500(name: str, value: str, service: Service) -> None:
    for path in ("/admin/", "/admin/login/", "/reset-password?token=x", "/api/v1/users/me/"):
        assert service.send(Call("GET", path, headers={"Cookie": f"{name}={value}"})).status in (200, 302, 400, 401)
