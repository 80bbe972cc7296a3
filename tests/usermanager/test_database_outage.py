"""A database that refuses, is silent, or takes no writes: 503 within seconds, and back without a restart.

The product runs on a PostgreSQL of the tests' own, with one web worker, a relay and no broker.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.usermanager import own_postgres
from tests.usermanager.own_postgres import Server
from tests.usermanager.processes import clean_environment, eventually, free_port, running

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.xdist_group("outage")]

ADMIN = {"email": "admin@example.com", "password": "four quiet admins nodding"}
PROBE_SECONDS = 1.0
LIMIT_SECONDS = 4.0  # two for a connection, and the noise of a busy machine
CROWD = 90  # more than the web server has threads


class Answer:
    def __init__(self, response: requests.Response, seconds: float) -> None:
        self.status, self.headers, self.seconds = response.status_code, response.headers, seconds
        self.cookies = response.cookies
        self.body: Any = response.json() if "json" in response.headers["Content-Type"] else response.text


class Product:
    def __init__(self, port: int, folder: Path) -> None:
        self.url, self.folder = f"http://127.0.0.1:{port}", folder

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        begin = time.monotonic()
        response = requests.request(method, self.url + path, timeout=60, **options)
        return Answer(response, time.monotonic() - begin)

    def log_in(self) -> Answer:
        return self.ask("POST", "/api/v1/auth/login/", json=ADMIN)

    def is_well(self) -> bool:
        return self.log_in().status == 200 and self.ask("GET", "/health/ready/").status == 200

    def registers(self, name: str) -> None:
        body = {"email": f"{name}@example.com", "password": "correct horse battery staple"}
        assert self.ask("POST", "/api/v1/auth/register/", json=body).status == 201
        eventually(lambda: list(self.folder.glob(f"mail/*{name}*.eml")))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_postgres.running() as server:
        yield server


@pytest.fixture(scope="module")
def product(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder, port = tmp_path_factory.mktemp("outage") / "var", free_port()
    environment = clean_environment(
        DATA_DIR=str(folder), PORT=str(port), DATABASE_URL=server.url, ADMIN_PASSWORD=ADMIN["password"],
        RATE_LIMITS="off", BCRYPT_ROUNDS="4", WEB_WORKERS="1", LOG_LEVEL="critical",
    )  # fmt: skip
    with running([sys.executable, "manage.py", "serve"], environment, "Ctrl-C ends it"):
        yield Product(port, folder)


def unavailable(answer: Answer) -> bool:
    """Whether it is the refusal of something that may work in a moment."""
    assert answer.status == 503, (answer.status, answer.body)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.body["code"] == "overloaded" if isinstance(answer.body, dict) else "503" in answer.body
    return answer.seconds < LIMIT_SECONDS


def test_who_is_refused_by_the_database_refuses_within_seconds(server: Server, product: Product) -> None:
    assert product.is_well()
    server.stop()
    try:
        cookies = product.ask("GET", "/admin/login/").cookies
        form = {"username": ADMIN["email"], "password": ADMIN["password"], "csrfmiddlewaretoken": cookies["csrftoken"]}
        page = {"headers": {"Accept": "text/html"}}
        with ThreadPoolExecutor() as pool:
            in_the_panel = pool.submit(product.ask, "POST", "/admin/login/", data=form, cookies=cookies, **page)
            on_a_page = pool.submit(product.ask, "GET", "/verify-email?token=x", **page)
            assert unavailable(product.log_in())
            for answer in (in_the_panel.result(), on_a_page.result()):
                assert unavailable(answer)
                assert answer.headers["Content-Type"].startswith("text/html")
            ready = not_ready(product)
        assert (ready.body["detail"], ready.body["database"]) == ("database", "down")
        assert ready.seconds < LIMIT_SECONDS
    finally:
        server.start()
    assert eventually(product.is_well, seconds=LIMIT_SECONDS)
    product.registers("after-a-stop")


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_live_answers_while_more_requests_than_threads_wait_for_the_database(
    server: Server, product: Product, how: str
) -> None:
    assert product.is_well()
    (server.stop if how == "refuses" else server.freeze)()
    try:
        with ThreadPoolExecutor(CROWD) as pool:
            logins = [pool.submit(product.log_in) for _ in range(CROWD)]
            time.sleep(0.3)
            for _ in range(5):
                live = product.ask("GET", "/health/live/")
                assert (live.status, live.seconds < PROBE_SECONDS) == (200, True), live.seconds
            ready = not_ready(product)
            assert (ready.body["database"], ready.seconds < LIMIT_SECONDS) == ("down", True)
            answers = [login.result() for login in logins]
        assert all(answer.status == 503 for answer in answers), [answer.status for answer in answers]
        assert max(answer.seconds for answer in answers) < 20
    finally:
        (server.start if how == "refuses" else server.thaw)()
    assert eventually(product.is_well)


def test_a_server_that_only_reads_is_told_and_left_when_another_takes_over(server: Server, product: Product) -> None:
    assert product.is_well()
    server.set("default_transaction_read_only", "on")
    try:
        eventually(lambda: product.log_in().status == 503)
        assert unavailable(product.log_in())
        ready = not_ready(product)
        assert (ready.body["detail"], ready.body["database"]) == ("database", "read-only")
    finally:
        server.set("default_transaction_read_only", "off")
    assert eventually(product.is_well)


def test_sessions_that_stay_read_only_are_dropped(server: Server, product: Product) -> None:
    """As those to the former primary do behind a proxy, which sends new ones to the present one."""
    assert product.is_well()
    role = "ALTER ROLE postgres SET default_transaction_read_only = {}"
    server.execute(role.format("on"))
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    server.execute(f"{ended} AND backend_type = 'client backend'")
    not_ready(product)
    with ThreadPoolExecutor(20) as pool:  # each connection of the pool is one that only reads
        assert {answer.status for answer in pool.map(lambda _: product.log_in(), range(20))} == {503}
    server.execute(role.format("off"))
    eventually(product.is_well)
    assert [product.log_in().status for _ in range(20)] == [200] * 20
    product.registers("after-a-failover")


def not_ready(product: Product) -> Answer:
    """The first such answer; a good one is remembered for a second."""

    def look() -> list[Answer]:
        return [answer for answer in [product.ask("GET", "/health/ready/")] if answer.status == 503]

    return eventually(look)[0]
