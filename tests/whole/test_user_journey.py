"""The whole life of a user over HTTP and SMTP, against the product as it is started for real."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import psycopg
import pytest
import requests

from tests import pgbouncer
from tests.conftest import missing
from tests.notifications import databases
from tests.usermanager.processes import (
    PROJECT,
    clean_environment,
    create_tables,
    descendants,
    eventually,
    free_port,
    is_alive,
    manage,
    running,
)
from tests.whole.mail_server import MailServer, running_mail_server

ANA, NEW_ANA = "ana@example.com", "ana.garcia@example.com"
FIRST, SECOND, THIRD = "correct horse battery staple", "staple battery horse correct", "horse staple correct battery"
ADMIN_PASSWORD = "four quiet admins nodding"
BROKER = "amqp://guest:guest@127.0.0.1:5672//"


class Product:
    """The running product as a client sees it."""

    def __init__(self, url: str, variables: dict[str, str]) -> None:
        self.url = url
        self.variables = variables

    def ask(self, method: str, path: str, access: str = "", **body: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {access}"} if access else {}
        return requests.request(method, f"{self.url}/api/v1/{path}", json=body or None, headers=headers, timeout=10)

    def must(self, status: int, method: str, path: str, access: str = "", **body: Any) -> Any:
        answer = self.ask(method, path, access, **body)
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def metrics(self) -> str:
        return requests.get(f"{self.url}/metrics", timeout=10).text

    def log_in(self, email: str, password: str) -> dict[str, Any]:
        tokens: dict[str, Any] = self.must(200, "POST", "auth/login/", email=email, password=password)
        return tokens


@pytest.fixture
def office() -> Iterator[MailServer]:
    with running_mail_server() as office:
        yield office


@pytest.fixture(params=["relay", pytest.param("broker", marks=pytest.mark.broker)])
def product(request: pytest.FixtureRequest, office: MailServer, tmp_path: Path) -> Iterator[Product]:
    with served(office, tmp_path, CELERY_BROKER_URL=BROKER if request.param == "broker" else "") as product:
        yield product


@contextmanager
def served(office: MailServer, folder: Path, **variables: str) -> Iterator[Product]:
    port = free_port()
    create_tables(folder / "var")
    environment = clean_environment(
        DATA_DIR=str(folder / "var"),
        PORT=str(port),
        EMAIL_URL=f"smtp://127.0.0.1:{office.port}",
        ADMIN_PASSWORD=ADMIN_PASSWORD,
        LOG_LEVEL="warning",
        WEB_WORKERS="2",
        BCRYPT_ROUNDS="6",
        **variables,
    )
    with running(["manage.py", "serve"], environment, "Ctrl-C ends it") as process:
        family = descendants(process.pid)
        yield Product(f"http://localhost:{port}", environment)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
        eventually(lambda: not any(map(is_alive, family)))


@pytest.mark.process
def test_a_user_goes_from_registration_to_deletion(product: Product, office: MailServer) -> None:
    user = product.must(201, "POST", "auth/register/", email=ANA, password=FIRST, full_name="Ana", locale="es")
    product.must(204, "POST", "auth/email/verify/", token=office.token_to(ANA, "verify-email"))
    ana = product.log_in(ANA, FIRST)
    assert product.must(200, "GET", "users/me/", ana["access"])["email_verified"] is True
    _another_service_checks(ana["access"], user["id"], product)
    ana = product.must(200, "POST", "auth/token/refresh/", refresh=ana["refresh"])

    product.must(202, "POST", "auth/password/reset/", email=ANA)
    token = office.token_to(ANA, "reset-password")
    product.must(204, "POST", "auth/password/reset/confirm/", token=token, new_password=SECOND)
    product.must(400, "POST", "auth/password/reset/confirm/", token=token, new_password=THIRD)
    product.must(401, "GET", "users/me/", ana["access"])
    product.must(401, "POST", "auth/login/", email=ANA, password=FIRST)

    ana = product.log_in(ANA, SECOND)
    product.must(204, "POST", "auth/password/change/", ana["access"], current_password=SECOND, new_password=THIRD)
    product.must(202, "POST", "auth/email/change/", ana["access"], new_email=NEW_ANA, current_password=THIRD)
    product.must(204, "POST", "auth/email/change/confirm/", token=office.token_to(NEW_ANA, "change-email"))
    assert product.must(200, "GET", "users/me/", ana["access"])["email"] == NEW_ANA

    _is_administered(product, user["id"], ana["access"])
    ana = product.log_in(NEW_ANA, THIRD)
    product.must(204, "DELETE", "users/me/", ana["access"], current_password=THIRD)
    product.must(401, "GET", "users/me/", ana["access"])
    product.must(401, "POST", "auth/login/", email=NEW_ANA, password=THIRD)


@pytest.mark.process
@pytest.mark.postgres
def test_the_same_through_pgbouncer_leaves_nothing_on_its_connections(office: MailServer, tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"
    try:
        with databases.new_on_postgres() as name, pgbouncer.running() as pooler:
            with served(office, tmp_path, DATABASE_URL=f"{pooler}/{name}?pgbouncer=true") as product:
                test_a_user_goes_from_registration_to_deletion(product, office)
                for command in (["export_users", str(file)], ["import_users", str(file)], ["audit", "verify"]):
                    ended = manage(*command, cwd=PROJECT, **product.variables)
                    assert ended.returncode == 0, ended.stderr
            assert not any(pgbouncer.left_behind(f"{pooler}/{name}").values())
    except (psycopg.OperationalError, pgbouncer.Missing):
        missing("PostgreSQL at 127.0.0.1:5432 (user postgres) and pgbouncer")


@pytest.mark.process
def test_an_invited_user_joins_with_the_emailed_link(product: Product, office: MailServer) -> None:
    root = product.log_in("admin@example.com", ADMIN_PASSWORD)
    product.must(201, "POST", "users/", root["access"], email="dora@example.com", full_name="Dora")
    token = office.token_to("dora@example.com", "accept-invitation")
    browser = requests.Session()
    page = browser.get(f"{product.url}/accept-invitation", params={"token": token}, timeout=10)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)">', page.text))
    done = browser.post(f"{product.url}/accept-invitation", hidden | {"password": FIRST}, timeout=10)
    assert (page.status_code, done.status_code) == (200, 200), done.text
    assert product.log_in("dora@example.com", FIRST)["user"]["email_verified"] is True


@pytest.mark.process
def test_the_metrics_add_up_the_counts_of_all_processes(product: Product, office: MailServer) -> None:
    product.must(201, "POST", "auth/register/", email=ANA, password=FIRST)
    office.mail_to(ANA)
    eventually(lambda: 'mail_tries_total{kind="welcome",outcome="sent"} 1.0' in product.metrics())
    assert "mail_delivery_seconds_count 1.0" in product.metrics()
    assert 'http_requests_total{method="POST",route="/api/v1/auth/register/",status="201"} 1.0' in product.metrics()
    assert 'mails{state="sent"} 1.0' in product.metrics()


def _another_service_checks(access: str, user_id: str, product: Product) -> None:
    """With PyJWT and the public keys alone."""
    key = jwt.PyJWKClient(f"{product.url}/.well-known/jwks.json").get_signing_key_from_jwt(access)
    claims = jwt.decode(access, key, algorithms=["ES256"], audience=product.url, issuer=product.url)
    assert claims["sub"] == user_id
    assert claims["role"] == "user"
    assert UUID(claims["sid"])


def _is_administered(product: Product, user_id: str, access: str) -> None:
    root = product.log_in("admin@example.com", ADMIN_PASSWORD)
    product.must(201, "POST", "roles/", root["access"], name="support", permissions=["users.view"])
    product.must(403, "GET", "users/", access)
    product.must(200, "PATCH", f"users/{user_id}/", root["access"], role="support")
    product.must(200, "GET", "users/", access)
    product.must(200, "POST", f"users/{user_id}/suspend/", root["access"], reason="holiday")
    product.must(401, "GET", "users/me/", access)
    rejection = product.ask("POST", "auth/login/", email=NEW_ANA, password=THIRD)
    assert (rejection.status_code, rejection.json()["code"]) == (403, "account_suspended")
    product.must(200, "POST", f"users/{user_id}/activate/", root["access"])
