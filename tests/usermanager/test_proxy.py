"""nginx with deploy/nginx.conf in front of the product, as docker-compose.yml runs it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.attacks.client import Address, Answer, Call, at_once, held, held_open
from tests.attacks.service import API, SERVE, Service, started
from tests.conftest import PASSWORD, missing
from tests.usermanager.processes import PROJECT, eventually, free_port
from tests.whole.mail_server import running_mail_server

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("proxy")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("proxied") / "var"
    with (
        running_mail_server() as office,
        started(SERVE, folder, office, TRUSTED_PROXIES="1", RATE_TOKEN="3/1h") as service,
    ):
        yield service


@pytest.fixture(scope="module")
def second_proxy(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Starts an nginx behind another proxy, from which it accepts the client's IP address."""
    trust = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; limit_conn_status"
    with _nginx(tmp_path_factory.mktemp("nginx"), service.address.port, limit_conn_status=trust) as address:
        yield address


@pytest.fixture(scope="module")
def proxy(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with _nginx(tmp_path_factory.mktemp("nginx"), service.address.port) as address:
        yield address


@contextmanager
def _nginx(folder: Path, web: int, **changes: str) -> Iterator[Address]:
    """Starts nginx on a free port for a web server, with changes to its configuration."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        missing("nginx (apt install nginx)")
        return
    address = Address("127.0.0.1", free_port())
    text = (PROJECT / "deploy" / "nginx.conf").read_text()
    for old, new in {
        "http://web:8000": f"http://127.0.0.1:{web}",
        "listen 8080;": f"listen 127.0.0.1:{address.port};",
        "/tmp/": f"{folder}/",
        "/dev/stderr": f"{folder}/error.log",
        "worker_processes auto;": "worker_processes 1;",
        **changes,
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "nginx.conf"
    path.write_text(f"user root;\n{text}" if os.geteuid() == 0 else text)
    process = subprocess.Popen([program, "-c", str(path), "-e", str(folder / "early.log")])
    try:
        eventually(lambda: _accepts(address))
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _accepts(address: Address) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(address) == 0


def ask(proxy: Address, method: str, path: str, body: object = None, **headers: str) -> Answer:
    """Returns the response, which must have the properties of every response of the product."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    [answer] = at_once(proxy, [Call(method, path, body=body, headers=named)])
    return answer


def test_requests_and_their_host_pass(proxy: Address) -> None:
    email = "proxied@example.com"
    registered = ask(proxy, "POST", f"{API}auth/register/", {"email": email, "password": PASSWORD})
    assert (registered.status, registered.json()["email"]) == (201, email)
    assert ask(proxy, "GET", f"{API}users/me/").code == "not_authenticated"
    assert ask(proxy, "GET", f"{API}users/me/", Host="evil.example.com").code == "parse_error"


@pytest.mark.parametrize("path", ["/admin/login/", "/verify-email", "/.well-known/jwks.json", "/health/live/"])
def test_the_proxy_adds_no_header_to_responses_of_the_product(proxy: Address, service: Service, path: str) -> None:
    """A second Content-Security-Policy would apply, too, and block the styles of pages."""
    at_proxy, at_product = (_headers(address, path) for address in (proxy, service.address))
    assert at_proxy == at_product


def _headers(address: Address, path: str) -> list[tuple[str, str]]:
    """Those of an answer, without what each server writes for itself."""
    connection = HTTPConnection(*address, timeout=20)
    with closing(connection):
        connection.request("GET", path, headers={"Host": "localhost", "X-Request-ID": "same", "Accept": "text/html"})
        headers = connection.getresponse().getheaders()
    own = {"Server", "Date", "Connection", "Expires", "Set-Cookie"}
    return sorted((name, value) for name, value in headers if name not in own)


def test_incomplete_bodies_do_not_reach_the_product(proxy: Address) -> None:
    half = Call("POST", f"{API}auth/login/", body=b'{"email": "a@example.com"}')
    with ExitStack() as stack:
        finishes = [stack.enter_context(held_open(proxy, half)) for _number in range(60)]
        assert ask(proxy, "GET", "/health/live/").status == 200
        assert {finish().code for finish in finishes} == {"validation_error"}


def test_a_client_cannot_forge_its_ip_address(proxy: Address) -> None:
    codes = [
        ask(proxy, "POST", f"{API}auth/email/verify/", {"token": "x"}, X_Forwarded_For=f"198.51.100.{number}").code
        for number in range(5)
    ]
    assert codes == ["invalid_token"] * 3 + ["throttled"] * 2


def test_an_ip_address_has_at_most_a_hundred_concurrent_requests(proxy: Address) -> None:
    half = Call("POST", f"{API}auth/login/", body=b'{"email": "a@example.com"}')
    with ExitStack() as stack:
        for _number in range(100):
            stack.enter_context(held_open(proxy, half))
        assert ask(proxy, "GET", "/health/live/").code == "overloaded"
    eventually(lambda: ask(proxy, "GET", "/health/live/").status == 200)


@pytest.mark.parametrize("network", ["2001:db8:1:2:", "2001:db8:0:0:"])
def test_all_addresses_of_a_small_ipv6_network_are_one_client(second_proxy: Address, network: str) -> None:
    with ExitStack() as stack:
        for number in range(200):
            named = {"X-Forwarded-For": f"{network}{number % 7}::{number:x}"}
            half = Call("POST", f"{API}auth/login/", body=b'{"email": "a@example.com"}', headers=named)
            stack.enter_context(held_open(second_proxy, half))
        assert ask(second_proxy, "GET", "/health/live/", X_Forwarded_For=f"{network}5::1").code == "overloaded"
        assert ask(second_proxy, "GET", "/health/live/", X_Forwarded_For="2001:db8:7:2::1").status == 200


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x=1", "/%6detrics", "//metrics", "/health/../metrics"])
def test_the_proxy_hides_the_metrics(proxy: Address, path: str) -> None:
    assert ask(proxy, "GET", path, X_Forwarded_For="127.0.0.1").code == "not_found"


@pytest.mark.parametrize("size", [70_000, 1024 * 1024 + 1])
def test_a_large_body_is_a_problem_document(proxy: Address, size: int) -> None:
    assert ask(proxy, "POST", f"{API}auth/login/", b" " * size).code == "payload_too_large"


@pytest.mark.parametrize(
    ("path", "header", "code"),
    [
        ("/" + "a" * 20_000, "", "uri_too_long"),
        ("/", "a" * 20_000, "headers_too_large"),
        ("/", "a\x00", "parse_error"),
    ],
)
def test_nginx_rejects_a_request_with_a_problem_document(proxy: Address, path: str, header: str, code: str) -> None:
    assert ask(proxy, "GET", path, X_Long=header).code == code


def test_while_the_product_is_down_nginx_answers_with_a_problem_document(tmp_path: Path) -> None:
    with _nginx(tmp_path, free_port()) as address:
        answer = held(ask(address, "GET", f"{API}users/me/"))
    assert (answer.code, answer.headers["Retry-After"]) == ("overloaded", "5")
