"""The floods that one network can send: for each scenario, the requests of one of its connections."""

import http.client
import json
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from threading import Lock
from typing import NamedTuple

from bench.service import JSON, LOGIN, credentials, log_in, send_request

FLOOD_IP = "192.0.2.1"
FLOOD_LOOPBACK = "127.0.0.2"  # for the scenario without a proxy, in which the service sees the connections themselves
HALF_A_REQUEST = (
    "POST /api/v1/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Content-Length: 60\r\n\r\n{"
)


class Request(NamedTuple):
    method: str
    path: str
    body: str | None = None
    ip: str = FLOOD_IP
    headers: dict[str, str] | None = None


def wrong_logins(_number: int) -> Request:
    email = f"{secrets.token_hex(6)}@example.com"
    return Request("POST", LOGIN, json.dumps({"email": email, "password": "wrong"}))


def own_accounts(number: int) -> Request:
    """Logs in to nine accounts of its own, with their passwords."""
    return Request("POST", LOGIN, credentials(1 + number % 9))


def one_ipv6_network(number: int) -> Request:
    """Uses another /64 of one /48 for each connection, without an account."""
    return wrong_logins(number)._replace(ip=f"2001:db8:1:{number * 0x111:x}::{secrets.randbelow(0xFFFF):x}")


def schema(_number: int) -> Request:
    return Request("GET", f"/api/schema/?x={secrets.token_hex(8)}")


def registrations(_number: int) -> Request:
    """Registers with passwords that take long to check and are rejected."""
    email = f"{secrets.token_hex(6)}@example.com"
    return Request("POST", "/api/v1/auth/register/", json.dumps({"email": email, "password": "P@$$w0rd1!" * 7}))


def exports(_number: int) -> Request:
    return Request("GET", "/api/v1/users/me/export/")


class Scenario(NamedTuple):
    """`proxies` is the value of TRUSTED_PROXIES. With 1, the service takes the IP address from X-Forwarded-For."""

    connections: int
    request: Callable[[int], Request] | None
    proxies: int = 1


SCENARIOS = {
    "logins": Scenario(64, wrong_logins),
    "own-accounts": Scenario(45, own_accounts),
    "ipv6": Scenario(60, one_ipv6_network),
    "schema": Scenario(16, schema),
    "registrations": Scenario(32, registrations),
    "exports": Scenario(12, exports),
    "half-bodies": Scenario(300, None, proxies=0),
}
_one_at_a_time = Lock()
EXPORTER = 900  # the user with the largest export


def connection(name: str, port: int, number: int, end: float) -> Counter[int]:
    """Sends the requests of one connection until `end`, by time.monotonic(). Counts the statuses of the responses."""
    scenario = SCENARIOS[name]
    if scenario.request is None:
        return _half_bodies(port, end)
    statuses: Counter[int] = Counter()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with _one_at_a_time:
        bearer = {"Authorization": f"Bearer {_token(port)}"} if name == "exports" else {}
    while time.monotonic() < end:
        one = scenario.request(number)
        headers = (JSON if one.body else {}) | bearer | {"X-Forwarded-For": one.ip}
        statuses[send_request(client, one.method, one.path, one.body, headers).status] += 1
    return statuses


@cache
def _token(port: int) -> str:
    """Returns one access token for all connections, because a login for each would exceed the limit."""
    return log_in(port, EXPORTER, {"X-Forwarded-For": FLOOD_IP})


def _half_bodies(port: int, end: float) -> Counter[int]:
    """Repeatedly opens a connection, sends half a request and waits until the service closes it.

    Counts 1 for a connection that was answered or closed, and 0 for one that was not accepted.
    """
    ended: Counter[int] = Counter()
    while time.monotonic() < end:
        try:
            client = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(FLOOD_LOOPBACK, 0))
        except OSError:
            ended[0] += 1
            time.sleep(0.05)
            continue
        with client, suppress(OSError):
            client.sendall(HALF_A_REQUEST.encode())
            client.settimeout(max(0.1, end - time.monotonic()))
            while client.recv(4096):
                pass
            ended[1] += 1
    return ended
