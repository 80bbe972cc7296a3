"""An access token has one spelling. Other texts are rejected, also those that contain our own signature."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from rest_framework.test import APIClient

from accounts.errors import TokenNotValid
from accounts.jwt import access_tokens, signing_keys
from accounts.models import Session
from tests.accounts.test_access_tokens import assert_rejected, encoded, read, sign
from tests.conftest import refused


@pytest.fixture
def claims(session: Session) -> dict[str, Any]:
    """Returns the claims of a valid token of ana."""
    return read(access_tokens.issue(session))


def signed(message: str) -> str:
    """Completes the first two parts of a token with our own signature."""
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256, ec.SECP256R1)
    return f"{message}.{encoded(algorithm.sign(message.encode(), signing_keys.signing_key().private))}"


def test_each_part_has_one_spelling_alone(claims: dict[str, Any], session: Session) -> None:
    """Also in a token that we signed. A second spelling would get past a list of rejected tokens."""
    header, payload = signing_keys.signing_key().header, encoded(json.dumps(claims).ljust(600).encode() + b"\n")
    members = {"alg": "ES256", "kid": signing_keys.signing_key().kid, "typ": "at+jwt"}
    assert access_tokens.find_session(signed(f"{header}.{payload}")) == session
    assert len(payload) % 4 == 2  # the last character has unused bits
    for other in (f"{payload}==", f"{payload[:-1]}h", f" {payload}", f"{payload}\n", f"{payload[:9]}!{payload[9:]}"):
        assert_rejected(signed(f"{header}.{other}"))
    for odd in (json.dumps(members), json.dumps(dict(reversed(members.items())), separators=(",", ":"))):
        assert_rejected(signed(f"{encoded(odd.encode())}.{payload}"))
    assert_rejected(signed(f"{header}=.{payload}"))
    assert_rejected(signed(f"{header}.{payload}.{payload}"))
    assert_rejected(signed(f"{header}.{payload}.") + ".")
    token = signed(f"{header}.{payload}")
    for end in ("=", "==", "A", "!", "\n", "."):
        with pytest.raises(TokenNotValid):
            access_tokens.find_session(token + end)
    with pytest.raises(TokenNotValid):
        access_tokens.find_session(token[:-1] + chr(ord(token[-1]) + 1))  # the same bytes, but for four unused bits


def test_a_signature_is_64_bytes(claims: dict[str, Any]) -> None:
    message, _dot, signature = sign(claims).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    for other in (utils.encode_dss_signature(r, s), raw + b"\0", b"\0" + raw, raw[:-1], raw[:32], b""):
        assert_rejected(f"{message}.{encoded(other)}")


@pytest.mark.parametrize(
    "text",
    [".", "..", "...", "a.b.c", "e30.e30.", "é.é.é", "a b.c", "\ufeff..", ".".join(["x" * 4000] * 3)],
    ids=lambda text: ascii(text)[:20],
)
def test_other_text_is_rejected(db: None, text: str) -> None:
    with pytest.raises(TokenNotValid):
        access_tokens.find_session(text)
    refused(APIClient().post("/api/v1/auth/token/verify/", {"token": text}, "json"), 401, "token_not_valid")


@pytest.mark.parametrize("filling", [b"[" * 5000, b'{"a":' * 1000, b"1" * 5000, b"\xff", b"[]", b"null", b'{"kid":'])
def test_an_unreadable_header_or_payload_is_rejected(db: None, filling: bytes) -> None:
    assert_rejected(f"{encoded(filling)}.e30.AAAA")
    assert_rejected(signed(f"{signing_keys.signing_key().header}.{encoded(filling)}"))
