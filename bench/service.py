"""A service with users, on a folder and a database of its own, and how the clients of a measurement ask it."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg

PROJECT = Path(__file__).resolve().parents[1]
PASSWORD = "correct horse battery staple"  # noqa: S105
ROUNDS = 12
JSON = {"Content-Type": "application/json"}
LOGIN = "/api/v1/auth/login/"


class Answer(NamedTuple):
    """`status` is 0 when the connection broke."""

    status: int
    seconds: float
    at: float


@contextmanager
def served(folder: str, database_url: str, **environment: str) -> Iterator[int]:
    """The port of `manage.py serve`, with user0@example.com and a thousand more, who have PASSWORD."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    variables = {
        **os.environ,
        **{"ENV_FILE": os.devnull, "DATA_DIR": folder, "PORT": str(port), "DATABASE_URL": database_url},
        **{"LOG_LEVEL": "warning", "BCRYPT_ROUNDS": str(ROUNDS)},
        **environment,
    }
    server = subprocess.Popen(
        [sys.executable, "manage.py", "serve"], cwd=PROJECT, env=variables, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout
        while "is ready" not in server.stdout.readline():
            if server.poll() is not None:
                raise SystemExit("the service did not start")
        threading.Thread(target=server.stdout.read, daemon=True).start()
        subprocess.run([sys.executable, "-c", USERS], cwd=PROJECT, env=variables, check=True)
        yield port
    finally:
        server.terminate()
        server.wait(60)


# One hash for all: making them through the API would take longer than the measurement.
USERS = f"""
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "usermanager.settings"
import django
django.setup()
from accounts import audit, hashers
from accounts.models import Role, User
from django.db import transaction
encoded, role = hashers.make({PASSWORD!r}), Role.objects.get(name="user")
emails = ["user%d@example.com" % number for number in range(1000)]
User.objects.bulk_create(
    User(email=email, email_key=email, role=role, password=encoded, email_verified=True) for email in emails
)
exporter = User.objects.get(email="user900@example.com")
with transaction.atomic():
    for _number in range(3000):  # what an export of an old account holds
        audit.record("user:changed", exporter, actor=exporter, fields=["full_name"])
"""


@contextmanager
def database(server: str) -> Iterator[str]:
    """The URL of a database of our own there; nothing, which means SQLite, without a server."""
    if not server:
        yield ""
        return
    name = f"flood_{uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield server.rpartition("/")[0] + "/" + name
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> Answer:
    started = time.perf_counter()
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
    except (http.client.HTTPException, OSError):  # one that idled too long, or was refused
        connection.close()
        return Answer(0, time.perf_counter() - started, time.monotonic())
    return Answer(response.status, time.perf_counter() - started, time.monotonic())


def log_in(port: int, number: int, headers: dict[str, str] | None = None) -> str:
    """The access token of a user. Ends the measurement when the login is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", LOGIN, credentials(number), JSON | (headers or {}))
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    if response.status >= 400:
        raise SystemExit(f"a login answered {response.status}: {answer}")
    return str(answer["access"])


def credentials(number: int, password: str = PASSWORD) -> str:
    return json.dumps({"email": f"user{number}@example.com", "password": password})


def percentiles(answers: Sequence[Answer]) -> tuple[float, float, float]:
    """The median, the 99th percentile and the longest, in milliseconds."""
    times = sorted(answer.seconds * 1000 for answer in answers)
    if len(times) < 2:
        return (times or [0.0])[0], (times or [0.0])[0], (times or [0.0])[0]
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98], times[-1]


def processor_ticks() -> dict[str, float]:
    """The processor's time so far, in hundredths of a second: all, busy, of these clients and of the service."""
    user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    busy = user + nice + system + sum(rest)
    own = os.times()
    clients = (own.user + own.system + own.children_user + own.children_system) * 100
    service = sum(_ticks_of(child) for child in _below(os.getpid()))
    return {"all": busy + idle + waiting, "busy": busy, "clients": clients, "service": service}


def _below(pid: int) -> Iterator[int]:
    """The processes below this one."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from _below(child)


def _ticks_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
