"""A client sends misleading headers, paths, methods and bytes."""

import socket
import time

import pytest

from tests.attacks.client import Call, exchange, held
from tests.attacks.conftest import from_ip
from tests.attacks.service import API, PASSWORD, Person, Service, new_address, post

EVIL = "evil.example.com"
POISON = {
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Server": EVIL,
    "X-Host": EVIL,
    "X-Original-URL": "/admin/",
    "X-Rewrite-URL": "/admin/",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Script-Name": "/evil",
    "Forwarded": f"host={EVIL};proto=https",
}


def test_no_header_changes_the_host_of_an_emailed_link(service: Service) -> None:
    email = new_address()
    call = Call("POST", f"{API}auth/register/", body={"email": email, "password": PASSWORD}, headers=POISON)
    assert service.send(call).status == 201
    service.send(Call("POST", f"{API}auth/password/reset/", body={"email": email}, headers=POISON))
    for page in ("/verify-email?", "/reset-password?"):
        mail = service.office.mail_to(email, page).as_string()
        assert EVIL not in mail
        assert f"{service.url}{page}token=" in mail


@pytest.mark.parametrize("host", [EVIL, f"localhost@{EVIL}", f"{EVIL}:80", "", "a b", "[::1", "lo\tcal"])
def test_an_unknown_host_is_rejected(host: str, service: Service) -> None:
    for path in (
        "/api/v1/users/",
        "/api/schema/",
        "/.well-known/jwks.json",
        "/admin/login/",
        "/reset-password?token=x",
    ):
        answer = service.send(Call("GET", path, headers={"Host": host}))
        assert (answer.status, EVIL in answer.text) == (400, False), path


def test_a_client_cannot_choose_the_issuer(service: Service, ana: Person) -> None:
    body = {"email": ana.email, "password": PASSWORD}
    answer = service.send(Call("POST", f"{API}auth/login/", body=body, headers=POISON))
    assert service.ask("GET", "users/me/", answer.json()["access"]).status == 200
    assert EVIL not in str(answer.headers) + answer.text


ORIGINS = [
    *(f"https://{EVIL}", "null", "https://app.example.com.evil.com", "https://evilapp.example.com", "http://localhost"),
    *("http://app.example.com", "https://app.example.com:444", "https://APP.example.com@evil.com", "file://", "*"),
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_other_cors_origins_cannot_read_responses(origin: str, guarded: Service) -> None:
    for method, more in (("GET", {}), ("OPTIONS", {"Access-Control-Request-Method": "GET"})):
        answer = guarded.send(
            Call(method, f"{API}users/me/", headers={"Origin": origin} | more | from_ip("198.18.4.4"))
        )
        assert not [name for name in answer.headers if name.lower().startswith("access-control-allow")]


def test_the_configured_cors_origin_can_read_without_cookies(guarded: Service) -> None:
    sent = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PATCH"} | from_ip("198.18.4.4")
    answer = guarded.send(Call("OPTIONS", f"{API}users/me/", headers=sent))
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    foreign = guarded.send(Call("OPTIONS", "/admin/login/", headers=sent))
    assert "Access-Control-Allow-Origin" not in foreign.headers


PATHS = [
    *("/api/v1/users/me/..;/", "/api/v1//users/me/", "/api/v1/users/me/%2e%2e/", "/api/v1/users/%2e%2e/%2e%2e/admin/"),
    *("/api/v1/users/me%00/", "/api/v1/users/me%0a/", "/api/v1/users/me%0d%0aX:%20y/", "/api/v1/users/me;a=b/"),
    *("/api/v1/users/me./", "/api/v1/USERS/me/", "/api/v1/users/me/%20", "/api/v1/users/%EF%BC%8F/", "/api/v1/%FF/"),
    *("/api/v2/users/", "/api/", "/api/v1/", "/api", "/api/v1/users/me/.json", "/api/v1/users/me.json", "/%2e/"),
    *(
        "/static/../settings.py",
        "/static/%2e%2e/%2e%2e/manage.py",
        "/static/..%5c..%5cmanage.py",
        "/static//etc/passwd",
    ),
    *("/static/%00", "/static/admin/", "/.env", "/.git/config", "/var/secret_key", "/keys/", "//evil.example.com/"),
    *("/usermanager.sqlite3", "/server-status", "/debug/", "/__debug__/", "/../../etc/passwd", "/%c0%ae%c0%ae/etc"),
    *("/api/v1/users/" + "a" * 4000 + "/", "/" + "%2f" * 500, "/api/v1/roles/%25s/", "/api/v1/users/{{77*77}}/"),
]


@pytest.mark.parametrize("path", PATHS)
def test_unusual_paths_reach_nothing_else(path: str, service: Service, ana: Person) -> None:
    for access in ("", ana.access):
        answer = service.send(Call("GET", path, access))
        assert 400 <= answer.status < 500, (path, answer.status)
        text = answer.text.replace(answer.headers["X-Request-ID"], "").replace(str(service.address.port), "")
        assert "5929" not in text or "77*77" not in path


METHODS = ["OPTIONS", "PUT", "PATCH", "DELETE", "HEAD", "POST", "PROPFIND", "TRACE", "DEBUG", "SEARCH", "get", "PURGE"]


@pytest.mark.parametrize("method", METHODS)
def test_unknown_methods_do_nothing(method: str, service: Service, ana: Person) -> None:
    for path in ("auth/login/", "auth/logout/all/", "users/me/export/", "audit/", "auth/token/refresh/"):
        answer = service.send(Call(method, API + path, ana.access, headers={"X-Secret": "echo"}))
        assert answer.status in ((200, 204, 400, 401, 403, 405) if method in ("HEAD", "POST") else (400, 405)), path
        assert "echo" not in answer.text
    for override in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"):
        fresh = service.send(post("auth/login/", email=ana.email, password=PASSWORD)).json()["access"]
        me = service.send(Call("GET", f"{API}users/me/?_method=DELETE", fresh, headers={override: "DELETE"}))
        assert me.json()["email"] == ana.email


KINDS = [
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "x", ""),
    *("application/json; charset=utf-16", "application/json, text/html", "application/x-yaml", "text/html"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_other_media_types_are_rejected(kind: str, service: Service, ana: Person) -> None:
    body = b'{"email": "%s", "password": "%s"}' % (ana.email.encode(), PASSWORD.encode())
    answer = service.send(Call("POST", f"{API}auth/login/", body=body, headers={"Content-Type": kind}))
    assert answer.code in ("unsupported_media_type", "parse_error", "validation_error", "") or answer.status == 200
    assert answer.status in (415, 400) or kind.startswith("application/json")


BODIES = [
    *(b"{", b"[]", b"null", b'"text"', b"1", b"\xff\xfe", b"{}{}", b"{'a': 1}", b'{"a": NaN}', b"[" * 60000),
    *(b'{"email": ' + b"1" * 5000 + b"}", b'{"a":' * 5000, b'{"email": 1e999}', b'\xef\xbb\xbf{"email": "a"}', b""),
    *(
        b'{"email": "a@example.com", "email": "b@example.com"}',
        b'{"email": "\\ud800"}',
        b'{"\\u0000": 1}',
        b" " * 70000,
    ),
    *(b'{"email": {"$ne": null}, "password": {"$ne": null}}', b'{"email": ["a@example.com"], "password": true}'),
    *(b'{"email": "a\\u0000@example.com", "password": "\\u0000"}', b'{"email": null, "password": null}'),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_no_body_causes_a_500(body: bytes, service: Service, ana: Person) -> None:
    paths = [
        "auth/login/",
        "auth/register/",
        "auth/token/refresh/",
        "auth/password/reset/confirm/",
        "auth/token/verify/",
    ]
    for path in paths:
        assert service.send(Call("POST", API + path, body=body)).status in (400, 401, 413, 415), path
    answer = service.send(Call("PATCH", f"{API}users/me/", ana.access, body))
    assert answer.status in (200, 400, 413)


MALFORMED = [
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /<script>alert(1)</script> HTTP/1.1 x\r\n\r\n",
    b"G\x00T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e3\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer_Encoding: chunked\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
]


@pytest.mark.parametrize("raw", MALFORMED, ids=range(len(MALFORMED)))
def test_invalid_http_gets_a_problem_document(raw: bytes, service: Service) -> None:
    answer = exchange(service.address, raw)
    assert answer.status in (400, 404, 405)
    held(answer)
    assert "alert" not in answer.text


TOO_LONG = {
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000 + b"\r\n\r\n": (431, "headers_too_large"),
    b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + b"a" * 8400 + b"\r\n\r\n": (
        431,
        "headers_too_large",
    ),
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(300)) + b"\r\n": (
        431,
        "headers_too_large",
    ),
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": (414, "uri_too_long"),
}


@pytest.mark.parametrize(("raw", "expected"), TOO_LONG.items(), ids=["header", "token", "headers", "path"])
def test_too_long_requests_get_the_right_error(raw: bytes, expected: tuple[int, str], service: Service) -> None:
    answer = held(exchange(service.address, raw))
    assert (answer.status, answer.code) == expected
    assert "at most" in answer.json()["detail"]


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: {whole}\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: {whole}",
        "Transfer-Encoding: chunked\r\nTransfer-encoding: identity\r\nContent-Length: {whole}",
        "Content-Length: 5\r\nContent-Length: {whole}",
        "Transfer-Encoding:\tchunked\r\nContent-Length: {whole}",
        "Transfer-Encoding: chunked\r\nContent_Length: {whole}",
    ],
)
def test_no_second_request_is_smuggled(framing: str, service: Service, ana: Person) -> None:
    """A proxy and the server must read the same requests from the same bytes."""
    smuggled = (
        f"DELETE {API}users/me/sessions/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ana.access}\r\n\r\n"
    )
    body = f"0\r\n\r\n{smuggled}"
    head = f"POST {API}auth/login/ HTTP/1.1\r\nHost: localhost\r\n{framing.format(whole=len(body))}\r\n\r\n"
    with socket.create_connection(service.address, 10) as connection:
        connection.sendall((head + body).encode())
        connection.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    if answers.count(b"HTTP/1.1 ") > 1:
        assert "Content_Length" in framing  # not a length header, so the second request is a separate one
        return
    assert ana.ask("GET", "users/me/").status == 200


INJECTIONS = ["ok\r\nX-Injected: 1", "ok\nX-Injected: 1", "ok\rX-Injected: 1", "ok%0d%0aX-Injected:%201", "ok\u2028X"]


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_no_request_header_becomes_another_response_header(text: str, service: Service, ana: Person) -> None:
    for name in ("X-Request-ID", "Origin", "Accept-Language", "User-Agent", "Referer", "Cookie"):
        raw = f"GET {API}users/me/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{name}: {text}\r\n\r\n"
        answer = exchange(service.address, raw.encode())
        assert "X-Injected" not in answer.headers
    for path in (f"/admin/login/?next={text}", "/admin", f"/admin/{text}"):
        raw = f"GET {path.replace(' ', '%20')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert "X-Injected" not in exchange(service.address, raw.encode()).headers


def test_a_client_cannot_forge_a_line_of_the_log(service: Service, guarded: Service) -> None:
    forged = "2026-01-01 00:00:00,000 INFO    accounts.audit [x] key:rotated"
    for one in (service, guarded):
        for path in (f"/api/v1/users/%0a{forged.replace(' ', '%20')}/", f"/%0d%0a{forged.replace(' ', '%20')}"):
            one.send(Call("GET", path, headers={"User-Agent": f"a\t{forged}", "X-Request-ID": forged}))
        lines = (one.data_dir / f"log-{one.address.port}.txt").read_text().splitlines()
        assert not [line for line in lines if line.startswith("2026-01-01")]


def test_a_slow_client_does_not_delay_others(service: Service) -> None:
    slow = [socket.create_connection(service.address, 30) for _each in range(30)]
    try:
        for place, connection in enumerate(slow):
            half = f"POST {API}auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{"
            connection.sendall(half.encode()[: 20 if place % 2 else None])
        began = time.monotonic()
        for _request in range(20):
            assert service.send(Call("GET", "/health/live/")).status == 200
        assert time.monotonic() - began < 5
    finally:
        for connection in slow:
            connection.close()
