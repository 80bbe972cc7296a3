"""Clients may send any cursor: it never reveals other rows, and never causes a server error."""

import base64
import json
from itertools import cycle, product
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.attacks.service import Person, Service

VALUES = [
    None,
    "",
    "\0",
    "a\0b",
    "\ud800",
    "%",
    "' OR 1=1 --",
    "2026-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "é" * 200,
]
PLACES = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "x", "", "\0", "1 OR 1=1"]
SHAPES: list[Any] = [
    [],
    {},
    None,
    0,
    "text",
    ["-created_at"],
    ["-created_at", None, PLACES[0], "false"],
    ["-created_at", None, 7, False],
    ["password", "a", PLACES[0], False],
    ["-created_at", {"a": 1}, PLACES[0], False],
    ["email", ["a"], PLACES[0], False],
    [["-created_at"], None, PLACES[0], False],
    ["-created_at", None, PLACES[0], False, "more"],
]


def encoded(cursor: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "ordering", ["created_at", "-created_at", "email", "-email", "last_login_at", "-last_login_at"]
)
def test_a_manipulated_cursor_is_rejected_or_shows_a_page(ordering: str, service: Service, root: Person) -> None:
    for value, place in [*zip(VALUES, cycle(PLACES[:2]), strict=False), *product([None, "a"], PLACES)]:
        for is_before in (False, True):
            cursor = encoded([ordering, value, place, is_before])
            answer = root.ask("GET", f"users/?ordering={quote(ordering)}&page_size=1&cursor={cursor}")
            assert answer.status in (200, 400), (value, place)


def test_an_invalid_cursor_is_rejected(service: Service, root: Person) -> None:
    texts = [encoded(shape) for shape in SHAPES]
    texts += ["A", "AAAA", "====", "%00", "%F0%9F%94%91", "a" * 4000, encoded("x")[:-1], encoded([[[[]]]] * 200)]
    texts.append(base64.urlsafe_b64encode(b"[" * 4500).rstrip(b"=").decode())
    for path in ("users", "roles", "audit", "users/me/sessions", "users/me/audit"):
        for text in texts:
            assert root.ask("GET", f"{path}/?cursor={text}").code == "validation_error", (path, text)


def test_a_cursor_is_valid_only_for_its_own_list(service: Service, root: Person, ana: Person) -> None:
    pages = root.must(200, "GET", "users/?page_size=1")
    cursor = parse_qs(urlsplit(pages["next"]).query)["cursor"][0]
    assert ana.ask("GET", f"users/?cursor={cursor}").code == "permission_denied"
    assert ana.ask("GET", f"users/me/sessions/?cursor={cursor}").code == "validation_error"
    assert root.ask("GET", f"users/?ordering=email&cursor={cursor}").code == "validation_error"


def test_links_to_other_pages_come_from_the_public_address(service: Service, root: Person) -> None:
    sent = {"X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example.com"}
    page = service.ask("GET", "users/?page_size=1&search=%3Cscript%3E%0d%0aSet-Cookie:%20a", root.access, sent=sent)
    assert page.status == 200
    page = service.ask("GET", "users/?page_size=1&x=%3Cscript%3E%0d%0aSet-Cookie:%20a", root.access, sent=sent)
    assert page.json()["next"].startswith(f"{service.url}/api/v1/users/?")
    assert "evil" not in page.text
    assert "\r" not in page.json()["next"]
