"""Floods a running service with logins, and measures what that does to everybody else.

    .venv/bin/python bench/flood.py [--seconds 15] [--clients 64] [--database postgres://postgres@127.0.0.1/postgres]

Starts `manage.py serve` on a folder (and, with --database, a database) of its own. So many clients log in without a
pause while one reads users/me/. Bare bcrypt on the same cores is what the logins are held against; what other programs
took of the machine meanwhile is told, as hashes have the lowest priority.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import bcrypt
import psycopg

PROJECT = Path(__file__).resolve().parents[1]
PASSWORD = "correct horse battery staple"  # noqa: S105
ROUNDS = 12
PROCESSES = 2
PAUSE_SECONDS = 0.02  # between two looks at users/me/
HEADERS = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    status: int
    seconds: float
    at: float


def main() -> None:
    options = _options()
    cores = os.cpu_count() or 1
    bare = _bare_bcrypt(cores, seconds=5)
    with _database(options.database) as url, tempfile.TemporaryDirectory() as folder, _service(folder, url) as port:
        quiet = _percentiles(_look(port, _log_in(port, 0)["access"], seconds=3))
        with _machine() as taken:
            logins, looks = _flood(port, options.clients, options.seconds)
    _report(bare, quiet, logins, looks, options)
    print("of the machine       " + ", ".join(f"{name} {share:.0%}" for name, share in taken.items()))


def _below(pid: int) -> Iterator[int]:
    """The processes below this one."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from _below(child)


def _ticks_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def _machine() -> Iterator[dict[str, float]]:
    """Which share of the cores the service, the clients and other programs took within the block."""
    taken: dict[str, float] = {}
    before = _ticks()
    yield taken
    spent = {name: after - before[name] for name, after in _ticks().items()}
    spent["others"] = spent["busy"] - spent["service"] - spent["clients"]
    taken |= {name: spent[name] / spent["all"] for name in ("service", "clients", "others")}


def _ticks() -> dict[str, float]:
    """The processor's time so far, in hundredths of a second: all, busy, and whose."""
    user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    busy = user + nice + system + sum(rest)
    own = os.times()
    clients = (own.user + own.system + own.children_user + own.children_system) * 100
    service = sum(_ticks_of(child) for child in _below(os.getpid()))
    return {"all": busy + idle + waiting, "busy": busy, "clients": clients, "service": service}


def _flood(port: int, clients: int, seconds: float) -> tuple[list[Answer], list[Answer]]:
    token = _log_in(port, 0)["access"]
    with multiprocessing.Pool(PROCESSES) as pool:
        shares = [(port, range(number, clients, PROCESSES), seconds) for number in range(PROCESSES)]
        flooding = pool.starmap_async(_clients, shares)
        time.sleep(1)  # until the queue is full
        looks = _look(port, token, seconds - 2)
        return [answer for answers in flooding.get() for answer in answers], looks


def _clients(port: int, numbers: range, seconds: float) -> list[Answer]:
    """What a process's share of the clients was answered."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        return [answer for some in pool.map(lambda number: _client(port, number, seconds), numbers) for answer in some]


def _client(port: int, number: int, seconds: float) -> list[Answer]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"email": f"user{number}@example.com", "password": PASSWORD})
    end, answers = time.monotonic() + seconds, []
    while time.monotonic() < end:
        answers.append(_ask(connection, "POST", "/api/v1/auth/login/", body, HEADERS))
    return [answer for answer in answers if answer.at < end]


def _look(port: int, token: str, seconds: float) -> list[Answer]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    end, answers = time.monotonic() + seconds, []
    while time.monotonic() < end:
        answers.append(_ask(connection, "GET", "/api/v1/users/me/", None, {"Authorization": f"Bearer {token}"}))
        time.sleep(PAUSE_SECONDS)
    return answers


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> Answer:
    started = time.perf_counter()
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
    except (http.client.HTTPException, ConnectionError):  # one that idled too long
        connection.close()
        return Answer(0, time.perf_counter() - started, time.monotonic())
    return Answer(response.status, time.perf_counter() - started, time.monotonic())


def _log_in(port: int, number: int) -> dict[str, Any]:
    return _post(port, "/api/v1/auth/login/", {"email": f"user{number}@example.com", "password": PASSWORD})


def _post(port: int, path: str, body: dict[str, str]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, json.dumps(body), HEADERS)
    response = connection.getresponse()
    text = response.read()
    if response.status >= 400:
        raise SystemExit(f"{path} answered {response.status}: {text.decode()}")
    answer: dict[str, Any] = json.loads(text)
    return answer


@contextmanager
def _service(folder: str, database_url: str) -> Iterator[int]:
    """The port of a service with the users that the clients log in as."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {
        **os.environ,
        **{"ENV_FILE": os.devnull, "DATA_DIR": folder, "PORT": str(port), "DATABASE_URL": database_url},
        **{"RATE_LIMITS": "off", "LOG_LEVEL": "warning", "BCRYPT_ROUNDS": str(ROUNDS)},
    }
    server = subprocess.Popen(
        [sys.executable, "manage.py", "serve"], cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout
        while "is ready" not in server.stdout.readline():
            if server.poll() is not None:
                raise SystemExit("the service did not start")
        threading.Thread(target=server.stdout.read, daemon=True).start()
        subprocess.run([sys.executable, "-c", USERS], cwd=PROJECT, env=environment, check=True)
        yield port
    finally:
        server.terminate()
        server.wait(30)


# One hash for all: making them through the API would take longer than the flood.
USERS = f"""
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "usermanager.settings"
import django
django.setup()
from accounts import hashers
from accounts.models import Role, User
encoded, role = hashers.make({PASSWORD!r}), Role.objects.get(name="user")
emails = ["user%d@example.com" % number for number in range(1000)]
User.objects.bulk_create(User(email=email, email_key=email, role=role, password=encoded) for email in emails)
"""


@contextmanager
def _database(server: str) -> Iterator[str]:
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


def _bare_bcrypt(threads: int, seconds: float) -> float:
    """How many hashes a second the cores make when nothing else runs."""
    end = time.monotonic() + seconds

    def hash_on(_number: int) -> tuple[int, float]:
        started, done = time.monotonic(), 0
        while time.monotonic() < end:
            bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(ROUNDS))
            done += 1
        return done, time.monotonic() - started

    with ThreadPoolExecutor(threads) as pool:
        return sum(done / took for done, took in pool.map(hash_on, range(threads)))


def _percentiles(answers: list[Answer]) -> str:
    times = sorted(answer.seconds * 1000 for answer in answers)
    if len(times) < 2:
        return "none"
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return f"p50 {cuts[49]:.1f}  p99 {cuts[98]:.1f}  most {times[-1]:.1f} ms"


def _report(bare: float, quiet: str, logins: list[Answer], looks: list[Answer], options: argparse.Namespace) -> None:
    by_status = {status: [one for one in logins if one.status == status] for status in {one.status for one in logins}}
    rate = len(by_status.get(200, [])) / options.seconds
    print(f"{options.clients} clients, {options.seconds} s, {'PostgreSQL' if options.database else 'SQLite'}")
    print(f"bare bcrypt          {bare:.2f} a second")
    waited = _percentiles(by_status.get(200, []))
    print(f"logins               {rate:.2f} a second, {rate / bare:.0%} of that; {waited}")
    for status, answers in sorted(by_status.items()):
        if status != 200:
            print(f"answers {status:<12} {len(answers)}; {_percentiles(answers)}")
    print(f"users/me/ in quiet   {quiet}")
    print(f"users/me/ in flood   {_percentiles(looks)}; not 200: {sum(one.status != 200 for one in looks)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--database", default="", help="a PostgreSQL server, on which a database is made and dropped")
    return parser.parse_args()


if __name__ == "__main__":
    main()
