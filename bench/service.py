"""Starts a service with users, on a folder and a database of its own, and sends it the requests of a benchmark."""

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
SERVE = [sys.executable, "manage.py", "serve"]
JSON = {"Content-Type": "application/json"}
LOGIN = "/api/v1/auth/login/"


class Response(NamedTuple):
    """`status` is 0 if the connection broke."""

    status: int
    seconds: float
    at: float


@contextmanager
def running_service(folder: str, database_url: str, *, users: int = 1000, **environment: str) -> Iterator[int]:
    """Yields the port of `manage.py serve`, with the users user0@example.com and so on, whose password is PASSWORD."""
    port = free_port()
    variables = variables_for(folder, PORT=str(port), DATABASE_URL=database_url, **environment)
    server = subprocess.Popen(SERVE, cwd=PROJECT, env=variables, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        while "is ready" not in server.stdout.readline():
            if server.poll() is not None:
                raise SystemExit("The service did not start.")
        threading.Thread(target=server.stdout.read, daemon=True).start()
        subprocess.run([sys.executable, "-c", USERS, str(users)], cwd=PROJECT, env=variables, check=True)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def variables_for(folder: str, **environment: str) -> dict[str, str]:
    """Returns the environment of a process of the product."""
    own = {"ENV_FILE": os.devnull, "DATA_DIR": folder, "LOG_LEVEL": "warning", "BCRYPT_ROUNDS": str(ROUNDS)}
    return {**os.environ, **own, **environment}


# All users share one hash. Registering them through the API would take longer than the benchmark.
USERS = f"""
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "usermanager.settings"
import django
django.setup()
from accounts import audit
from accounts.hashing import hashers
from accounts.models import Role, User
from django.db import transaction
encoded, role = hashers.make({PASSWORD!r}), Role.objects.get(name="user")
emails = ["user%d@example.com" % number for number in range(int(sys.argv[1]))]
User.objects.bulk_create(
    User(email=email, email_key=email, role=role, password=encoded, email_verified=True) for email in emails
)
exporter = User.objects.get(email="user900@example.com")
with transaction.atomic():
    for _number in range(3000):  # as many as an old account has
        audit.record("user:changed", exporter, actor=exporter, fields=["full_name"])
"""


@contextmanager
def database(server: str) -> Iterator[str]:
    """Creates a database on the server and yields its URL. Without a server, yields "", which means SQLite."""
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


def send_request(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> Response:
    started = time.perf_counter()
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
    except (http.client.HTTPException, OSError):  # the connection was idle for too long, or was rejected
        connection.close()
        return Response(0, time.perf_counter() - started, time.monotonic())
    return Response(response.status, time.perf_counter() - started, time.monotonic())


def log_in(port: int, number: int, headers: dict[str, str] | None = None) -> str:
    """Returns the access token of a user. Ends the benchmark if the login fails."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", LOGIN, credentials(number), JSON | (headers or {}))
    response = connection.getresponse()
    body: dict[str, Any] = json.loads(response.read())
    if response.status >= 400:
        raise SystemExit(f"A login returned {response.status}: {body}")
    return str(body["access"])


def credentials(number: int, password: str = PASSWORD) -> str:
    return json.dumps({"email": f"user{number}@example.com", "password": password})


def percentiles(responses: Sequence[Response]) -> tuple[float, float, float]:
    """Returns the median, the 99th percentile and the maximum, in milliseconds."""
    times = sorted(response.seconds * 1000 for response in responses)
    if len(times) < 2:
        return (times or [0.0])[0], (times or [0.0])[0], (times or [0.0])[0]
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98], times[-1]


def processor_ticks() -> dict[str, float]:
    """Returns the processor time so far, in hundredths of a second: in total, busy, of the clients, of the service."""
    user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    busy = user + nice + system + sum(rest)
    own = os.times()
    clients = (own.user + own.system + own.children_user + own.children_system) * 100
    service = sum(_ticks_of(child) for child in descendants(os.getpid()))
    return {"all": busy + idle + waiting, "busy": busy, "clients": clients, "service": service}


def descendants(pid: int) -> Iterator[int]:
    """Yields the ids of all descendants of the process."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from descendants(child)


def _ticks_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
