"""Measures the operations of the API at 1, 16 and 64 connections, beside a hello view on the same server and bcrypt.

    .venv/bin/python -m bench.operations [--seconds 3] [--connections 1,16,64] [--operations me,refresh]
                                         [--database postgres://postgres@127.0.0.1/postgres]

Starts `manage.py serve` without limits and with 10,000 users, and a bare WSGI application on the same gunicorn worker
with the same configuration. Each connection has a session of its own, and sends the refresh token that it received
last. The processor time is that of all processes of the service: other programs change it less than the throughput.
Of 64 logins at once, some are rejected. The times are those of the successful ones, the processor time covers both.
A login with a code is two requests: the password, and the code of an authenticator app. Its processor time covers both,
its times are those of the second one.
"""

import argparse
import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import pyotp

from bench import load
from bench.load import Conversation, request
from bench.logins import bare_bcrypt
from bench.service import (
    JSON,
    LOGIN,
    PASSWORD,
    PROJECT,
    ROUNDS,
    credentials,
    database,
    free_port,
    percentiles,
    processor_ticks,
    running_service,
    send_request,
    variables_for,
)

USERS = 10_000
ADMIN = json.dumps({"email": "admin@example.com", "password": PASSWORD})
FEW_ROUNDS = 4
WITH_APPS = range(5000, USERS)  # the numbers of the users with an authenticator app, each for one login
APP = pyotp.TOTP("MJSW4Y3IMJSW4Y3IMJSW4Y3IMJSW4Y3I")
HELLO = "hello"
ROW = "| {:<25} | {:>11} | {:>8} | {:>7} | {:>8} | {:>8} | {:>8} | {:>6} | {:>8} |"
HEADINGS = ("operation", "connections", "CPU ms", "× hello", "a second", "p50 ms", "p99 ms", "bytes", "rejected")


@dataclass
class Session:
    """The tokens of a client; the refresh token is the last one received."""

    access: str
    refresh: str


@dataclass
class Operation:
    """`conversation` is called with the number of the connection.

    `status` is the status of a successful operation, `earlier` that of the requests which lead to it.
    """

    conversation: Callable[[int], Conversation]
    status: int = 200
    earlier: int | None = None
    is_slow: bool = False  # it hashes a password, so it is measured for longer


def main() -> None:
    options = _options()
    print(f"{'PostgreSQL' if options.database else 'SQLite'}, {USERS:,} users\n")
    print(ROW.format(*HEADINGS))
    print(ROW.format(*("---" for _heading in HEADINGS)), flush=True)
    _measure_all(options)
    _measure_beside_bcrypt(options)
    print(f"\n{_bcrypt_summary(ROUNDS)}; {_bcrypt_summary(FEW_ROUNDS)}")


def _measure_all(options: argparse.Namespace) -> None:
    levels = [int(level) for level in options.connections.split(",")]
    with tempfile.TemporaryDirectory() as folder, _running_hello(folder) as hello, _service(options, ROUNDS) as port:
        operations = _operations(port, max(levels))
        wanted = options.operations.split(",") if options.operations else list(operations)
        for connections in levels:
            row = Row(connections, options.seconds)
            floor = row.print(HELLO, Operation(lambda _number: _same(request("GET", "/"))), hello)
            for name in wanted:
                row.print(name, operations[name], port, floor=floor)


def _measure_beside_bcrypt(options: argparse.Namespace) -> None:
    """Measures logins and registrations with few rounds of bcrypt: what they cost beside a hash is too little to be
    seen as a difference."""
    with _service(options, FEW_ROUNDS, has_apps=True) as port:
        operations = _operations(port, 1)
        numbers = iter(WITH_APPS)
        operations["login with code"] = Operation(lambda _number: _login_with_code(numbers), earlier=403, is_slow=True)
        for connections in (1, 16):
            row = Row(connections, options.seconds)
            for name in ("login", "login with code", "registration"):
                row.print(f"{name}, {FEW_ROUNDS} rounds", operations[name], port)


@contextmanager
def _service(options: argparse.Namespace, rounds: int, *, has_apps: bool = False) -> Iterator[int]:
    with database(options.database) as url, tempfile.TemporaryDirectory() as folder:
        environment = {"RATE_LIMITS": "off", "ADMIN_PASSWORD": PASSWORD, "BCRYPT_ROUNDS": str(rounds)}
        with running_service(folder, url, users=USERS, **environment) as port:
            if has_apps:
                variables = variables_for(folder, DATABASE_URL=url, **environment)
                subprocess.run([sys.executable, "-c", APPS], cwd=PROJECT, env=variables, check=True)
            yield port


APPS = f"""
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "usermanager.settings"
import django
django.setup()
from accounts.mfa import totp
from accounts.models import TotpSecret, User
from django.utils import timezone
users = User.objects.filter(email__in=["user%d@example.com" % number for number in {WITH_APPS}])
TotpSecret.objects.bulk_create(
    totp.confirmed(user.pk, {APP.byte_secret()!r}, name="App", at=timezone.now()) for user in users
)
users.update(mfa_enabled=True)
"""


class Row(NamedTuple):
    """What all operations of a level have in common."""

    connections: int
    seconds: float

    def print(self, name: str, operation: Operation, port: int, *, floor: float = 0.0) -> float:
        """Measures an operation and prints its row. Returns its processor time in milliseconds."""
        seconds = self.seconds * (3 if operation.is_slow and floor else 1)
        load.run(port, [operation.conversation(0)], min(0.5, seconds))  # until all is loaded
        before = processor_ticks()["service"]
        result = load.run(port, map(operation.conversation, range(self.connections)), seconds)
        ticks = processor_ticks()["service"] - before
        good = [response for response in result.responses if response.status == operation.status]
        milliseconds = 10 * ticks / max(len(good), 1)
        median, late, _most = percentiles(good)
        rate = sum(response.at < result.end for response in good) / seconds
        times = f"{milliseconds / floor:.1f}" if floor and not operation.is_slow else ""
        rejected = [
            response for response in result.responses if response.status not in {operation.status, operation.earlier}
        ]
        figures = (f"{milliseconds:.2f}", times, f"{rate:.1f}", f"{median:.1f}", f"{late:.1f}", f"{result.size:.0f}")
        print(ROW.format(name, self.connections, *figures, len(rejected) or ""), flush=True)
        return milliseconds


def _operations(port: int, connections: int) -> dict[str, Operation]:
    with ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(lambda number: _log_in(port, credentials(number)), range(connections)))
    admin = _log_in(port, ADMIN)
    numbers = count(connections)
    return {
        "me": Operation(lambda number: _same(request("GET", "/api/v1/users/me/", sessions[number].access))),
        "refresh": Operation(lambda number: _refresh(sessions[number])),
        "patch": Operation(lambda number: _patch(sessions[number].access)),
        "list": Operation(lambda _number: _same(request("GET", "/api/v1/users/?page_size=50", admin.access))),
        "search": Operation(lambda _number: _same(request("GET", SEARCH, admin.access))),
        "login": Operation(lambda _number: _login(numbers), is_slow=True),
        "registration": Operation(lambda _number: _registration(), status=201, is_slow=True),
    }


SEARCH = "/api/v1/users/?page_size=50&search=user12"


def _same(text: bytes) -> Conversation:
    while True:
        yield text


def _refresh(session: Session) -> Conversation:
    while True:
        body = yield request("POST", "/api/v1/auth/token/refresh/", body={"refresh": session.refresh})
        session.refresh = json.loads(body)["refresh"]


def _patch(access: str) -> Conversation:
    for number in count():
        yield request("PATCH", "/api/v1/users/me/", access, {"full_name": f"Name {number}"})


def _login(numbers: Iterator[int]) -> Conversation:
    """Logs in as another user each time. None of them has a session yet."""
    while True:
        yield request("POST", LOGIN, body=json.loads(credentials(next(numbers))))


def _login_with_code(numbers: Iterator[int]) -> Conversation:
    """Logs in as another user each time, with the password and then with a code. A code works once for each user."""
    for number in numbers:
        pending = yield request("POST", LOGIN, body=json.loads(credentials(number)))
        token = json.loads(pending).get("mfa_token")
        if token:  # otherwise the service was overloaded
            yield request("POST", f"{LOGIN}second-factor/", body={"mfa_token": token, "code": APP.now()})
    raise SystemExit("There are not enough users with an authenticator app.")


def _registration() -> Conversation:
    while True:
        body = {"email": f"{secrets.token_hex(8)}@example.com", "password": PASSWORD, "full_name": "Ana Pérez"}
        yield request("POST", "/api/v1/auth/register/", body=body)


def _log_in(port: int, body: str) -> Session:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", LOGIN, body, JSON)
    answer = json.loads(connection.getresponse().read())
    return Session(answer["access"], answer["refresh"])


@contextmanager
def _running_hello(folder: str) -> Iterator[int]:
    """Serves bench/hello.py with the product's gunicorn worker and configuration, and yields its port."""
    port = free_port()
    program = [sys.executable, "-m", "gunicorn", "-c", "python:usermanager.gunicorn_config", "bench.hello"]
    server = subprocess.Popen(program, cwd=PROJECT, env=variables_for(folder, PORT=str(port)))
    try:
        client = http.client.HTTPConnection("127.0.0.1", port)
        while send_request(client, "GET", "/", None, {}).status != 200:
            if server.poll() is not None:
                raise SystemExit("The hello view did not start.")
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def _bcrypt_summary(rounds: int) -> str:
    cores, before = os.cpu_count() or 1, time.process_time()
    rate = bare_bcrypt(cores, seconds=2, rounds=rounds)
    cpu = 1000 * (time.process_time() - before) / (rate * 2)
    return f"bare bcrypt with {rounds} rounds: {cpu:.1f} ms CPU, {rate:.1f} a second on {cores} cores"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--operations", default="", help="for example me,refresh")
    parser.add_argument("--database", default="", help="a PostgreSQL server, on which a database is made and dropped")
    return parser.parse_args()


if __name__ == "__main__":
    main()
