"""Runs the product as real processes. Tests use it only over HTTP and email."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.attacks.client import Address, Answer, Call, at_once
from tests.usermanager.processes import (
    PROJECT,
    clean_environment,
    create_tables,
    descendants,
    eventually,
    free_port,
    is_alive,
    manage,
    start,
)
from tests.whole.mail_server import MailServer

API = "/api/v1/"
PASSWORD = "correct horse battery staple"
OTHER_PASSWORD = "staple battery horse correct"
ADMIN_EMAIL, ADMIN_PASSWORD = "root@example.com", "four quiet admins nodding"
MANAGER = ["sessions.revoke", "sessions.view", "users.add", "users.change", "users.delete", "users.view"]

SERVE = ["manage.py", "serve"]
GUNICORN = ["-m", "gunicorn", "-c", "python:usermanager.gunicorn_config", "usermanager.wsgi"]
LIMITS_OF_AN_IP = (
    *("RATE_LOGIN_IP", "RATE_LOGIN_ACCOUNT", "RATE_LOGIN_SUCCESS"),
    *("RATE_REGISTER", "RATE_PASSWORD", "RATE_MAIL_IP", "RATE_TOKEN"),
)


class Service:
    """A running product, as its clients see it."""

    def __init__(self, port: int, environment: dict[str, str], office: MailServer) -> None:
        self.address = Address("127.0.0.1", port)
        self.url = f"http://localhost:{port}"
        self.environment = environment
        self.data_dir = Path(environment["DATA_DIR"])
        self.office = office
        self.admin_email = ADMIN_EMAIL

    def manage(self, *arguments: str) -> str:
        """Runs a command as an operator would, and returns its output."""
        ended = manage(*arguments, cwd=PROJECT, **self.environment)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def at_once(self, calls: Sequence[Call]) -> list[Answer]:
        return at_once(self.address, calls)

    def send(self, call: Call) -> Answer:
        [answer] = self.at_once([call])
        return answer

    def ask(
        self, method: str, path: str, access: str = "", *, sent: dict[str, str] | None = None, **body: Any
    ) -> Answer:
        """Sends a request to the API. `sent` holds further headers."""
        return self.send(Call(method, API + path, access, body or None, sent or {}))

    def must(self, status: int, method: str, path: str, access: str = "", **body: Any) -> Any:
        answer = self.ask(method, path, access, **body)
        assert answer.status == status, (method, path, answer.status, answer.text)
        return answer.json() if answer.content else None


@dataclass
class Person:
    """A user with a session."""

    service: Service
    id: str
    email: str
    access: str
    refresh: str
    password: str = PASSWORD

    def ask(self, method: str, path: str, **body: Any) -> Answer:
        return self.service.ask(method, path, self.access, **body)

    def must(self, status: int, method: str, path: str, **body: Any) -> Any:
        return self.service.must(status, method, path, self.access, **body)

    def call(self, method: str, path: str, **body: Any) -> Call:
        return Call(method, API + path, self.access, body or None)


def post(path: str, **body: Any) -> Call:
    """Returns a request without a token."""
    return Call("POST", API + path, body=body)


def new_address(name: str = "user") -> str:
    return f"{name}-{uuid4().hex[:12]}@example.com"


def register(service: Service, name: str = "ana", **fields: Any) -> Person:
    """Registers a new user and logs in."""
    body = {"email": new_address(name), "password": PASSWORD, "full_name": name.title()} | fields
    service.must(201, "POST", "auth/register/", **body)
    return log_in(service, body["email"], body["password"])


def verified(person: Person) -> Person:
    """Confirms the address with the link of the welcome email."""
    token = person.service.office.token_to(person.email, "verify-email")
    person.must(204, "POST", "auth/email/verify/", token=token)
    return person


def log_in(service: Service, email: str, password: str = PASSWORD) -> Person:
    tokens = service.must(200, "POST", "auth/login/", email=email, password=password)
    return Person(service, tokens["user"]["id"], email, tokens["access"], tokens["refresh"], password)


@contextmanager
def started(command: Sequence[str], data_dir: Path, office: MailServer, **environment: str) -> Iterator[Service]:
    """Starts a service and waits until it is ready. Afterwards checks its exit status and its log."""
    port = free_port()
    if "DATABASE_URL" not in environment and not (data_dir / "usermanager.sqlite3").exists():
        create_tables(data_dir)
    data_dir.mkdir(exist_ok=True)
    log = data_dir / f"log-{port}.txt"
    variables = {
        "DATA_DIR": str(data_dir),
        "PORT": str(port),
        "EMAIL_URL": f"smtp://127.0.0.1:{office.port}",
        "ADMIN_EMAIL": ADMIN_EMAIL,
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
        "WEB_WORKERS": "2",
        "WEB_THREADS": "5",  # each may use a database connection, and PostgreSQL has a limit for all services together
        "BCRYPT_ROUNDS": "4",
        **dict.fromkeys(LIMITS_OF_AN_IP, "1000000/1h"),
        "LOGIN_QUEUE": "200",  # one network gets a third of it, and all tests are in one network
        **environment,
    }
    with log.open("wb") as output:
        process = start([*command], env=clean_environment(**variables), stdout=output, stderr=output)
    service = Service(port, variables, office)
    family: set[int] = set()
    try:
        eventually(lambda: process.poll() is not None or _is_ready(service), seconds=180)
        assert process.poll() is None, log.read_text()
        family = descendants(process.pid)
        yield service
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        for pid in {process.pid} | family:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    _check_log(log.read_text())


def _is_ready(service: Service) -> bool:
    try:
        return service.send(Call("GET", "/health/ready/")).status == 200
    except OSError:
        return False


def _check_log(log: str) -> None:
    """Checks that the log has no traceback and no secret."""
    assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:2500]
    assert not any(secret in log for secret in (PASSWORD, OTHER_PASSWORD, ADMIN_PASSWORD, "token=", "eyJ"))
