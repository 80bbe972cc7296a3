"""While the database is down, silent or read-only, the product answers 503 within seconds. It recovers by itself.

The product uses a PostgreSQL that the tests start, one web worker, a relay and no broker.
"""

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
LIMIT_SECONDS = 4.0  # two for a connection, and two for a busy machine
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

    def is_ready(self) -> bool:
        return self.log_in().status == 200 and self.ask("GET", "/health/ready/").status == 200

    def register(self, name: str) -> None:
        assert self.ask_to_register(name).status == 201
        self.await_mail(name)

    def ask_to_register(self, name: str) -> Answer:
        body = {"email": f"{name}@example.com", "password": "correct horse battery staple"}
        return self.ask("POST", "/api/v1/auth/register/", json=body)

    def await_mail(self, name: str) -> None:
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
    with running(["manage.py", "serve"], environment, "Ctrl-C ends it"):
        yield Product(port, folder)


def unavailable(answer: Answer) -> bool:
    """Asserts that this is the error for a temporary failure. Returns whether it came in time."""
    assert answer.status == 503, (answer.status, answer.body)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.body["code"] == "overloaded" if isinstance(answer.body, dict) else "503" in answer.body
    return answer.seconds < LIMIT_SECONDS


def test_requests_fail_within_seconds_while_the_database_is_down(server: Server, product: Product) -> None:
    assert product.is_ready()
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
    assert eventually(product.is_ready, seconds=LIMIT_SECONDS)
    product.register("after-a-stop")


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_live_answers_while_more_requests_than_threads_wait_for_the_database(
    server: Server, product: Product, how: str
) -> None:
    assert product.is_ready()
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
    assert eventually(product.is_ready)


def test_a_read_only_server_is_reported_until_it_accepts_writes(server: Server, product: Product) -> None:
    assert product.is_ready()
    server.set("default_transaction_read_only", "on")
    try:
        eventually(lambda: product.log_in().status == 503)
        assert unavailable(product.log_in())
        ready = not_ready(product)
        assert (ready.body["detail"], ready.body["database"]) == ("database", "read-only")
    finally:
        server.set("default_transaction_read_only", "off")
    assert eventually(product.is_ready)


def test_sessions_that_stay_read_only_are_dropped(server: Server, product: Product) -> None:
    """Behind a proxy, connections to the former primary stay read-only, while new ones reach the new primary.

    A session is dropped once a request writes over it. The first login that succeeds does not show that all are gone:
    other sessions may still be read-only, and those that serve only reads stay open.
    """
    assert product.is_ready()
    role = "ALTER ROLE postgres SET default_transaction_read_only = {}"
    server.execute(role.format("on"))
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    server.execute(f"{ended} AND backend_type = 'client backend'")
    not_ready(product)
    with ThreadPoolExecutor(20) as pool:  # each connection of the pool is read-only
        assert {answer.status for answer in pool.map(lambda _: product.log_in(), range(20))} == {503}
    server.execute(role.format("off"))
    eventually(lambda: [product.log_in().status for _ in range(20)] == [200] * 20, seconds=60)
    assert eventually(product.is_ready)
    eventually(lambda: product.ask_to_register("after-a-failover").status == 201)
    product.await_mail("after-a-failover")


def not_ready(product: Product) -> Answer:
    """Returns the first response that says so. The product caches a good state for a second."""

    def look() -> list[Answer]:
        return [answer for answer in [product.ask("GET", "/health/ready/")] if answer.status == 503]

    return eventually(look)[0]
