"""Measures lists, searches and look-ups among 10,000, 100,000 and 1,000,000 users, on SQLite and PostgreSQL.

    .venv/bin/python bench/scale.py [--users 10000,100000,1000000] [--databases sqlite,postgresql]

Fills databases of its own with `manage.py seed`, and removes them afterwards: SQLite in a temporary folder, PostgreSQL
at 127.0.0.1:5432 (user postgres). Each figure is the median of 20 responses, for different pages or users where that
matters. The whole product in this process creates them (URLs, middleware, authentication, database, JSON or HTML). Of
a login, only the look-up of the user is measured, because hashing a password takes a quarter of a second anyway.
"""

import argparse
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

PROJECT = Path(__file__).resolve().parents[1]
SERVER = "postgres://postgres@127.0.0.1:5432"
TIMES = 20
LIMIT = 1.5
MEASURE = "--measure"
UNBOUNDED = "count"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", default="10000,100000,1000000", help="how many, the smallest number first")
    parser.add_argument("--databases", default="sqlite,postgresql")
    given = parser.parse_args()
    for kind in given.databases.split(","):
        columns = {int(number): _measure_in_subprocess(kind, int(number)) for number in given.users.split(",")}
        _print(kind, columns)


def _print(kind: str, columns: dict[int, dict[str, float]]) -> None:
    fewest, most = columns[min(columns)], columns[max(columns)]
    print(f"\n| {kind}, ms | {' | '.join(f'{number:,}' for number in columns)} | ratio | |")
    print("| --- " + "| ---: " * (len(columns) + 1) + "| --- |")
    for name in most:
        ratio = most[name] / fewest[name]
        verdict = "" if name.startswith(UNBOUNDED) else "holds" if ratio <= LIMIT else f"over {LIMIT}"
        cells = " | ".join(f"{column[name]:.2f}" for column in columns.values())
        print(f"| {name} | {cells} | {ratio:.2f} | {verdict} |", flush=True)


def _measure_in_subprocess(kind: str, number: int) -> dict[str, float]:
    """Measures in a process of its own, because Django can't change its database once it has started."""
    with tempfile.TemporaryDirectory(prefix="usermanager-bench-") as folder, _database(kind, folder) as url:
        environment = {**os.environ, "DATA_DIR": folder, "DATABASE_URL": url, "ENV_FILE": os.devnull}
        environment |= {"LOG_LEVEL": "error", "RATE_LIMITS": "off"}
        for command in (["migrate", "-v0"], ["seed", str(number)]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=PROJECT, env=environment, check=True, stdout=2)
        done = subprocess.run([sys.executable, __file__, MEASURE], env=environment, check=True, stdout=subprocess.PIPE)
        lines = (line.split("\t") for line in done.stdout.decode().splitlines())
        return {name: float(milliseconds) for name, milliseconds in lines}


@contextmanager
def _database(kind: str, folder: str) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/bench.sqlite3"
        return
    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{SERVER}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _measure() -> None:
    """Prints a line for each case: its name, a tab, milliseconds."""
    sys.path.insert(0, str(PROJECT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "usermanager.settings"
    import django  # noqa: PLC0415 - reads the environment

    django.setup()
    from django.db import connection  # noqa: PLC0415

    if connection.vendor == "postgresql":  # the server does this by itself within minutes of such an import
        for statement in ("VACUUM ANALYZE", "CHECKPOINT"):
            connection.cursor().execute(statement)
    for name, respond in _cases().items():
        print(f"{name}\t{_median(respond):.4f}", flush=True)


def _median(respond: Callable[[int], Any]) -> float:
    respond(0)
    took = []
    for index in range(TIMES):
        begin = time.perf_counter()
        respond(index)
        took.append(time.perf_counter() - begin)
    return statistics.median(took) * 1000


def _cases() -> dict[str, Callable[[int], Any]]:
    from accounts.models import User  # noqa: PLC0415

    listed, panel = _clients()
    total = User.objects.count()
    places = [User.objects.order_by("id")[total * (2 * index + 1) // (2 * TIMES)] for index in range(TIMES)]
    never = User.objects.filter(last_login_at=None)
    deepest = {
        "-created_at": _after("-created_at", User.objects.order_by("created_at"), "created_at"),
        "email": _after("email", User.objects.order_by("-email_key"), "email_key"),
        "-last_login_at": _after("-last_login_at", never.order_by("id")),
    }
    few = {"page_size": "10"}  # one user in 1,000 matches, which is 10 among 10,000
    return {
        "first page": lambda _index: listed(),
        "deepest page": lambda _index: listed(**deepest["-created_at"]),
        "deepest page by address": lambda _index: listed(**deepest["email"]),
        "first page by last login": lambda _index: listed(ordering="-last_login_at"),
        "deepest page by last login": lambda _index: listed(**deepest["-last_login_at"]),
        "search for one person": lambda index: listed(search=places[index].email.partition("@")[0]),
        "search that finds one in three": lambda _index: listed(search="example.com"),
        "search for three letters, one in ten": lambda _index: listed(search="mar"),
        "search for a name, one in 1,000": lambda _index: listed(search="íñigo ibáñez", **few),
        "search for two letters": lambda _index: listed(search="ma"),
        "filter by a rare role": lambda _index: listed(role="support", **few),
        "filter by the common role": lambda _index: listed(role="user"),
        "filter by suspended": lambda _index: listed(is_active="false", **few),
        "filter by unconfirmed, by address": lambda _index: listed(email_verified="false", ordering="email"),
        "filter by time of creation": lambda index: listed(created_before=places[index].created_at.isoformat()),
        "count": lambda _index: listed(count="true"),
        "admin list": lambda _index: panel(),
        "admin list, searched": lambda index: panel(q=places[index].email.partition("@")[0]),
        "login look-up": lambda index: User.objects.find_by_email(places[index].email),
    }


def _after(ordering: str, backwards: Any, column: str = "") -> dict[str, str]:
    """Returns the query of the last page in this ordering."""
    from accounts.listing.pagination import PAGE_SIZE, Cursor  # noqa: PLC0415

    row = backwards[PAGE_SIZE]
    value = str(getattr(row, column)) if column else None
    return {"ordering": ordering, "cursor": Cursor(ordering, value, str(row.pk), False).encode(type(row))}


def _clients() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns functions that get a list of users from the API and from the panel, and require that it has some."""
    from django.test import Client  # noqa: PLC0415

    from accounts import login, users  # noqa: PLC0415
    from accounts.jwt import access_tokens  # noqa: PLC0415
    from accounts.mfa import proofs  # noqa: PLC0415
    from accounts.models import User  # noqa: PLC0415
    from usermanager import preloading  # noqa: PLC0415

    users.ensure_first_admin("root@example.com")
    root = User.objects.get(email="root@example.com")
    headers = {"Authorization": f"Bearer {access_tokens.issue(login.open_session(root, proofs.PASSWORD)[0])}"}
    preloading.load_everything()  # the panel opens a session for force_login() once it is loaded
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(root)

    def listed(**query: str) -> None:
        response = browser.get("/api/v1/users/", query, headers=headers)
        assert response.status_code == 200, response.content
        assert response.json()["results"]

    def panel(**query: str) -> None:
        response = browser.get("/admin/accounts/user/", query)
        assert response.status_code == 200, response.content
        assert b'class="quiet"' in response.content

    return listed, panel


if __name__ == "__main__":
    _measure() if sys.argv[1:] == [MEASURE] else main()
