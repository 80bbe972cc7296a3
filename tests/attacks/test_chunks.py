"""A chunked body, which has no length, is read like any other, up to the same limit."""

import json
import re
import socket
from urllib.parse import urlencode

import pytest

from tests.attacks.client import Answer, Call, exchange, held, read
from tests.attacks.service import ADMIN_PASSWORD, API, PASSWORD, Person, Service, log_in, new_address

JSON = "application/json"
END = b"0\r\n\r\n"


def in_chunks(body: bytes, size: int = 1000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + END


def request(path: str, chunks: bytes, kind: str = JSON, method: str = "POST", **headers: str) -> bytes:
    """Returns the bytes of the request."""
    lines = {"Host": "localhost", "Transfer-Encoding": "chunked", "Content-Type": kind, **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + chunks


def registration(email: str, **more: str) -> bytes:
    return json.dumps({"email": email, "password": PASSWORD, **more}).encode()


def post(service: Service, chunks: bytes, path: str = f"{API}auth/register/") -> Answer:
    return held(exchange(service.address, request(path, chunks)))


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_chunks_of_every_size_are_read(size: int, service: Service) -> None:
    email = new_address()
    answer = post(service, in_chunks(registration(email), size))
    assert (answer.status, answer.json()["email"]) == (201, email)
    assert log_in(service, email).email == email


def test_the_largest_is_64_kib(service: Service) -> None:
    def padded(size: int) -> bytes:
        body = registration(new_address(), unknown="")
        return body[:-2] + b"x" * (size - len(body)) + b'"}'

    assert post(service, in_chunks(padded(64 * 1024))).status == 201
    for size in (64 * 1024 + 1, 3 * 1024 * 1024):
        answer = post(service, in_chunks(padded(size)))
        assert (answer.status, answer.code) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "chunks",
    [
        in_chunks(b"hello"),
        in_chunks(b"\x00\xff" * 1000),
        b"hello\r\n",
        b"-1\r\n{}\r\n" + END,
        b"0x2\r\n{}\r\n" + END,
        b"2;\r\n{}\r\n" + END,
        b"2\r\n{}" + END,
        b"2\r\n{}}\r\n" + END,
        b"2\n{}\n0\n\n",
        b"ffffffffffffffff\r\n{}\r\n" + END,
        b"5\r\n{}",
        b"2\r\n{}\r\n",
        b"2\r\n{}\r\n0\r\nX y: z\r\n\r\n",
        b"",
    ],
    ids=range(14),
)
def test_malformed_chunks_are_rejected_and_change_nothing(chunks: bytes, service: Service, ana: Person) -> None:
    raw = request(f"{API}users/me/sessions/", chunks, method="DELETE", Authorization=f"Bearer {ana.access}")
    with socket.create_connection(service.address, 10) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = held(read(connection, raw))
    assert (answer.status, answer.code) == (400, "parse_error")
    assert ana.ask("GET", "users/me/").status == 200


def test_the_next_request_on_the_connection_is_read_correctly(service: Service, ana: Person) -> None:
    """No part of a body is read as a request, whether the body was read or rejected."""
    smuggled = (
        f"DELETE {API}users/me/sessions/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ana.access}\r\n\r\n"
    )
    for body in (registration(new_address()), b" " * 70_000 + smuggled.encode(), b" " * 1_100_000 + smuggled.encode()):
        raw = request(f"{API}auth/register/", in_chunks(body))
        with socket.create_connection(service.address, 10) as connection:
            connection.sendall(raw + Call("GET", "/health/live/").raw("localhost"))
            first = held(read(connection, raw))
            rest = b"".join(iter(lambda: connection.recv(65536), b""))
        assert first.status == (201 if len(body) < 1000 else 413)
        assert not rest or (rest.startswith(b"HTTP/1.1 200 OK") and rest.endswith(b'{"status":"ok"}'))
    assert ana.ask("GET", "users/me/").status == 200


def test_forms_are_read_too(service: Service) -> None:
    page = service.send(Call("GET", "/admin/login/"))
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token
    fields = {"csrfmiddlewaretoken": token[1], "username": service.admin_email, "password": ADMIN_PASSWORD}
    form, cookie = "application/x-www-form-urlencoded", page.headers["Set-Cookie"].partition(";")[0]
    chunks = in_chunks(urlencode(fields).encode(), 10)
    answer = exchange(service.address, request("/admin/login/?next=/admin/", chunks, form, Cookie=cookie))
    assert (answer.status, answer.headers["Location"]) == (302, "/admin/")
