"""No request of a real web server waits for an import: everything is loaded before the workers are forked."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest

from tests.authenticator import EDDSA, ES256, RS256, Authenticator
from tests.conftest import OTHER_PASSWORD, PASSWORD, environment_of_database
from tests.usermanager.processes import PROJECT, clean_environment, eventually, free_port, manage, running

GUNICORN = ["-m", "gunicorn", "-c", "python:tests.usermanager.late_imports", "usermanager.wsgi"]
LATE_IMPORTS = "late-imports.txt"  # importing it from there would set up this process as gunicorn's
ROOT = {"email": "root@example.com", "password": PASSWORD}


class Client:
    """Sends one request after the other, with the cookies of a browser."""

    def __init__(self, port: int) -> None:
        self.url = f"http://localhost:{port}"
        self.opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self.headers: dict[str, str] = {}

    def send(self, status: int, method: str, path: str, content: bytes | None = None, kind: str = "text/html") -> str:
        """Returns the body of the response, which must have this status."""
        headers = {**self.headers, "Content-Type": kind, "Referer": self.url}
        try:
            request = Request(self.url + path, content, headers, method=method)  # noqa: S310 - our own server
            answer = self.opener.open(request, timeout=30)
        except HTTPError as error:
            answer = error
        with answer:
            text: str = answer.read().decode()
        assert answer.status == status, (method, path, answer.status, text)
        return text

    def api(self, status: int, method: str, path: str, **body: Any) -> Any:
        content = json.dumps(body).encode() if body else None
        text = self.send(status, method, f"/api/v1/{path}", content, "application/json")
        return json.loads(text) if text else None

    def form(self, path: str, **fields: str) -> str:
        """Opens the page, and sends its form."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.send(200, "GET", path))
        assert token
        content = urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        return self.send(200, "POST", path, content, "application/x-www-form-urlencoded")

    def is_up(self) -> bool:
        try:
            return bool(self.send(200, "GET", "/health/live/"))
        except URLError:
            return False


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    with environment_of_database(request.param) as variables:
        yield variables


@contextmanager
def web_server(folder: Path, **variables: str) -> Iterator[Client]:
    """Starts the product's web server with one worker on a database that has all tables."""
    port = free_port()
    environment = {
        **{"DATA_DIR": str(folder), "PORT": str(port), "WEB_WORKERS": "1", "BCRYPT_ROUNDS": "4"},
        **{"ADMIN_EMAIL": ROOT["email"], "ADMIN_PASSWORD": PASSWORD, "RATE_LOGIN": "2/5m", "LOG_LEVEL": "critical"},
        **variables,
    }
    prepared = manage("prepare", cwd=PROJECT, **environment)
    assert prepared.returncode == 0, prepared.stderr
    with running([sys.executable, *GUNICORN], clean_environment(**environment), ready="") as server:
        client = Client(port)
        eventually(client.is_up, seconds=60)
        yield client
        assert server.stop() == 0


def ask_the_api(client: Client) -> None:
    """Sends each kind of request, the successful ones and those that are rejected."""
    client.send(200, "GET", "/health/ready/")
    client.send(200, "GET", "/.well-known/jwks.json")
    client.send(404, "GET", "/.well-known/webauthn")
    client.send(200, "GET", "/api/schema/")
    client.send(200, "GET", "/api/docs/")
    client.send(200, "GET", "/metrics")
    client.api(404, "GET", "nowhere/")
    client.api(401, "GET", "users/me/")
    client.api(405, "GET", "auth/login/")
    client.api(400, "POST", "auth/login/", email=1)
    client.api(201, "POST", "auth/register/", email="ana@example.com", password=PASSWORD, full_name="Ana")
    client.api(201, "POST", "auth/register/", email="eva@bücher.example", password=PASSWORD, full_name="Eva")
    client.api(202, "POST", "auth/password/reset/", email="ana@example.com")
    for status in (401, 401, 429):
        client.api(status, "POST", "auth/login/", email="ana@example.com", password="wrong")
    tokens = client.api(200, "POST", "auth/login/", **ROOT)
    client.headers["Authorization"] = f"Bearer {tokens['access']}"
    client.api(200, "POST", "auth/token/refresh/", refresh=tokens["refresh"])
    client.api(200, "GET", "users/me/")
    client.api(200, "PATCH", "users/me/", full_name="Root")
    client.send(200, "GET", "/api/v1/users/me/export/")
    [ana] = client.api(200, "GET", "users/?search=ana&created_after=2020-01-01T00:00:00Z")["results"]
    client.api(200, "GET", "users/?ordering=email&invitation=none&limit=1")
    client.api(200, "PATCH", f"users/{ana['id']}/", full_name="Ana L.")
    client.api(201, "POST", "users/", email="bruno@example.com", full_name="Bruno", role="user")
    client.api(200, "POST", f"users/{ana['id']}/suspend/", until="2099-01-01T00:00:00Z", reason="Testing")
    for path in ("audit/?after=2020-01-01T00:00:00Z", "roles/", f"users/{tokens['user']['id']}/sessions/"):
        client.api(200, "GET", path)
    client.api(201, "POST", "roles/", name="support", permissions=["users.view"])
    client.api(204, "POST", "auth/password/change/", current_password=PASSWORD, new_password=OTHER_PASSWORD)
    client.api(204, "POST", "auth/logout/all/")


def ask_the_pages(client: Client) -> None:
    """Opens the pages of emailed links and those of the panel, and sends some of their forms."""
    client.headers = {"Accept-Language": "es-MX"}
    client.send(400, "GET", "/verify-email?token=unknown")
    client.form("/forgot-password", email="ana@example.com")
    client.send(404, "GET", "/nowhere")
    client.send(403, "POST", "/forgot-password", b"email=x", "application/x-www-form-urlencoded")
    client.form("/admin/login/?next=/admin/", username=ROOT["email"], password=OTHER_PASSWORD)
    client.send(200, "GET", "/admin/accounts/user/?q=ana")
    client.send(200, "GET", "/admin/accounts/user/add/")
    client.send(200, "GET", "/admin/accounts/session/")
    client.send(200, "GET", "/admin/accounts/auditevent/?kind=login")
    client.form("/admin/accounts/role/add/", name="helpers", permissions="users.view")
    client.send(200, "GET", "/static/admin/css/base.css")


def ask_with_passkeys(client: Client) -> None:
    """Adds a passkey of each kind, and signs in with the first one. Then root needs it after the password."""
    tokens = client.api(200, "POST", "auth/login/", email=ROOT["email"], password=OTHER_PASSWORD)
    authenticators = [Authenticator(algorithm) for algorithm in (ES256, EDDSA, RS256)]
    for one in authenticators:
        one.origin = client.url
        client.headers["Authorization"] = f"Bearer {tokens['access']}"
        options = client.api(200, "POST", "auth/passkeys/options/")
        tokens = client.api(201, "POST", "auth/passkeys/", passkey=one.create(options, fmt="packed"))
        options = client.api(200, "POST", "auth/passkey/options/")
        client.api(200, "POST", "auth/passkey/", passkey=one.get(options))
    client.api(401, "POST", "auth/passkey/", passkey=authenticators[0].get(options))
    client.api(403, "POST", "auth/login/", email=ROOT["email"], password=OTHER_PASSWORD)


@pytest.mark.process
def test_no_request_loads_a_module(tmp_path: Path, database_url: dict[str, str]) -> None:
    with web_server(tmp_path, **database_url) as client:
        ask_the_api(client)
        ask_the_pages(client)
        ask_with_passkeys(client)
    assert (tmp_path / LATE_IMPORTS).read_text() == ""
