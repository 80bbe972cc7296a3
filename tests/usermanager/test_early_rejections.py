"""A login that gets no hash slot is rejected without Django, with the response that Django has given before."""

import http.client
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import REGISTRY

from accounts import request_context
from accounts.hashing.limiter import MAX_DELAYED_REJECTIONS, HashingLimiter
from accounts.hashing.slots import Slots
from accounts.request_context import RequestContext
from tests.usermanager.processes import clean_environment, eventually, free_port, running
from usermanager import early_rejections
from usermanager.early_rejections import EarlyRejections
from usermanager.web_server.client_shares import client_networks

NETWORK, OTHER = client_networks("192.0.2.7", b""), client_networks("192.0.3.7", b"")
OWN_ID = "0123456789abcdef" * 2
LINE = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\n"
CONTENT = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: gunicorn\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    b"Connection: keep-alive\r\nX-Request-ID: %b\r\nContent-Length: 34\r\n\r\n%b 3" % ((OWN_ID.encode(),) * 2)
)


@pytest.fixture(autouse=True)
def hashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HashingLimiter]:
    """Yields the limiter of the process. Its only slot is taken."""
    hashing = HashingLimiter(tmp_path, 1, 0)
    monkeypatch.setattr(early_rejections, "get_limiter", lambda: hashing)
    with hashing.slot():
        yield hashing


@pytest.fixture
def rejections() -> EarlyRejections:
    known = EarlyRejections()
    known.remember_network(NETWORK)
    known.remember(LINE + b"Content-Length: 2\r\nUser-Agent: a\r\n\r\n", CONTENT)
    return known


def content(rejections: EarlyRejections, header: bytes) -> tuple[str, str, str]:
    """Returns the id in the header, the length and the body of the response."""
    found = rejections.find(NETWORK, LINE + header + b"\r\n")
    assert found
    top, _end, body = found.content.partition(b"\r\n\r\n")
    assert b"Mon, 01 Jan 2024" not in top
    fields = dict(line.split(": ", 1) for line in top.decode().split("\r\n")[1:])
    return fields["X-Request-ID"], fields["Content-Length"], body.decode()


@pytest.mark.parametrize("given", ["", "X-Request-ID: a b\r\n"])
def test_each_rejection_has_an_id_of_its_own(rejections: EarlyRejections, given: str) -> None:
    own, length, body = content(rejections, given.encode())
    assert (own != OWN_ID, len(own), length, body) == (True, 32, "34", f"{own} 3")


def test_a_rejection_has_the_id_of_the_client(rejections: EarlyRejections) -> None:
    assert content(rejections, b"X-Request-ID: trace-1\r\nContent-Length: 99\r\n") == ("trace-1", "9", "trace-1 3")


@pytest.mark.parametrize(
    "header",
    [
        b"Accept-Language: es\r\n",
        b"Origin: https://app.example.com\r\n",
        b"Content-Length: 2000000\r\n",
        b"Content-Length: x\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"User-Agent: \x01\r\n",
        b"User-Agent: a\r\n b\r\n",
    ],
)
def test_another_request_is_answered_by_django(rejections: EarlyRejections, header: bytes) -> None:
    assert rejections.find(NETWORK, LINE + header + b"\r\n") is None


def test_another_network_is_not_rejected_and_none_is_for_long(
    rejections: EarlyRejections, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rejections.find(OTHER, LINE + b"\r\n") is None
    monkeypatch.setattr(early_rejections, "REJECTED_SECONDS", 0)
    rejections.remember_network(NETWORK)
    assert rejections.find(NETWORK, LINE + b"\r\n") is None


def test_one_request_at_a_time_reaches_django_once_a_slot_is_free(
    tmp_path: Path, rejections: EarlyRejections, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = HashingLimiter(tmp_path / "free", 1, 0)
    monkeypatch.setattr(early_rejections, "get_limiter", lambda: free)
    monkeypatch.setattr(early_rejections, "CHECK_SECONDS", 60)
    found = [rejections.find(NETWORK, LINE + b"\r\n") for _number in range(3)]
    assert [rejection is None for rejection in found] == [True, False, False]
    monkeypatch.setattr(early_rejections, "CHECK_SECONDS", 0)
    rejections.remember_network(NETWORK)
    assert [rejections.find(NETWORK, LINE + b"\r\n") for _number in range(3)] == [None, None, None]


def test_a_network_with_its_share_of_the_slots_is_rejected_and_others_are_not(
    tmp_path: Path, rejections: EarlyRejections, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashing = HashingLimiter(tmp_path / "shared", 2, 6)
    monkeypatch.setattr(early_rejections, "get_limiter", lambda: hashing)
    monkeypatch.setattr(early_rejections, "CHECK_SECONDS", 0)
    with ExitStack() as slots:
        for ip, web_networks in {"192.0.2.7": NETWORK, "192.0.3.7": OTHER}.items():
            with _client(ip):
                rejections.remember_network(web_networks)
        with _client("192.0.2.7"):
            while not hashing.is_full(request_context.networks(request_context.current.get())):
                slots.enter_context(hashing.slot(is_known=True))
        assert rejections.find(NETWORK, LINE + b"\r\n")
        assert rejections.find(OTHER, LINE + b"\r\n") is None


@contextmanager
def _client(ip: str) -> Iterator[None]:
    token = request_context.current.set(RequestContext(ip, request_id="r"))
    yield
    request_context.current.reset(token)


def test_a_response_with_an_id_of_a_client_is_not_repeated() -> None:
    known = EarlyRejections()
    known.remember_network(NETWORK)
    known.remember(LINE + b"X-Request-ID:3\r\n\r\n", CONTENT.replace(OWN_ID.encode(), b"3"))
    assert known.find(NETWORK, LINE + b"X-Request-ID:3\r\n\r\n") is None


def test_the_response_to_a_signed_in_user_is_not_repeated() -> None:
    """Before the slot, Django checks the token, the body and the user's limits."""
    known, header = EarlyRejections(), LINE + b"authorization: Bearer x\r\n\r\n"
    known.remember_network(NETWORK)
    known.remember(header, CONTENT)
    assert known.find(NETWORK, header) is None


def test_a_rejection_is_counted_and_logged(rejections: EarlyRejections, caplog: pytest.LogCaptureFixture) -> None:
    labels = {"method": "POST", "route": "/api/v1/auth/login/", "status": "503"}
    before = REGISTRY.get_sample_value("http_requests_total", labels) or 0
    found = rejections.find(NETWORK, LINE + b"X-Request-ID: trace-1\r\n\r\n")
    assert found
    with caplog.at_level(logging.INFO, "usermanager.access"):
        rejections.record(found, 0.12)
    assert REGISTRY.get_sample_value("http_requests_total", labels) == before + 1
    assert caplog.messages == ["POST /api/v1/auth/login/ 503 120ms"]


def test_numbers_of_networks_and_responses_have_a_limit() -> None:
    known = EarlyRejections()
    for number in range(2500):
        known.remember_network(((32, f"{number}"),))
        known.remember(LINE + b"Host: h%d\r\n\r\n" % number, CONTENT)
    assert (len(known._rejected), len(known._responses)) == (500, 100)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Starts a server whose only hash slot is taken."""
    port, folder = free_port(), tmp_path_factory.mktemp("rejections")
    environment = clean_environment(
        **{"DATA_DIR": str(folder), "PORT": str(port), "WEB_WORKERS": "1", "LOG_LEVEL": "critical"},
        **{"LOGIN_CONCURRENCY": "1", "LOGIN_QUEUE": "0", "CORS_ALLOWED_ORIGINS": "https://app.example.com"},
    )
    (folder / "hashing").mkdir(mode=0o700)
    assert Slots(folder / "hashing", 1).acquire(None, is_known=False) is not None
    command = ["-m", "gunicorn", "-c", "python:usermanager.gunicorn_config", "usermanager.wsgi"]
    with running(command, environment, ready=""):
        eventually(lambda: _status(port, "GET", "/health/live/") == 200, seconds=60)
        yield port


def _status(port: int, method: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


@pytest.mark.process
@pytest.mark.xdist_group("early-rejections")
@pytest.mark.parametrize("sent", [{}, {"Accept-Language": "es"}, {"Origin": "https://app.example.com"}], ids=str)
def test_a_repeated_rejection_is_the_one_of_django(port: int, sent: dict[str, str]) -> None:
    """Django rejects the first requests. Then more clients than it could delay get the same response after a pause."""

    def refused(number: int) -> list[Answer]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with closing(connection):
            return [_rejected(connection, {"User-Agent": f"{number}"} | sent, b"x" * number) for _round in range(3)]

    clients = 2 * MAX_DELAYED_REJECTIONS
    with ThreadPoolExecutor(clients) as pool:
        [one] = {*refused(0), *(answer for answers in pool.map(refused, range(clients)) for answer in answers)}
    header, body = dict(one.header), dict(one.body)
    assert (one.status, body["code"], header["retry-after"]) == (503, "overloaded", "2")
    assert header["content-language"] == sent.get("Accept-Language", "en")
    assert ("access-control-allow-origin" in header) == ("Origin" in sent)
    assert ("try again" in str(body["detail"])) == ("Accept-Language" not in sent)


class Answer(NamedTuple):
    """A response without its request id and date."""

    status: int
    header: tuple[tuple[str, str], ...]
    body: tuple[tuple[str, object], ...]


def _rejected(connection: http.client.HTTPConnection, header: dict[str, str], body: bytes) -> Answer:
    began = time.monotonic()
    connection.request("POST", "/api/v1/auth/login/", body, header)
    response = connection.getresponse()
    document = json.loads(response.read())
    assert time.monotonic() - began >= 0.1
    assert document.pop("instance") == response.headers["X-Request-ID"]
    fields = {name.lower(): value for name, value in response.headers.items()}
    del fields["date"], fields["x-request-id"]
    return Answer(response.status, tuple(sorted(fields.items())), tuple(document.items()))
