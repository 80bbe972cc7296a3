"""The API rejects forged and ended tokens with the same error, and follows no URL in them."""

import base64
import hashlib
import hmac
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tests.attacks.client import Call
from tests.attacks.conftest import from_ip
from tests.attacks.service import PASSWORD, Person, Service, log_in

ME = "/api/v1/users/me/"
THEIRS = ec.generate_private_key(ec.SECP256R1())
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the curve P-256


class Listener:
    """A server of the attacker that counts the requests to it."""

    def __init__(self) -> None:
        self.calls = 0
        listener = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                listener.calls += 1

        self.server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    threading.Thread(target=listener.server.serve_forever, daemon=True).start()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


def signing_key(service: Service) -> ec.EllipticCurvePrivateKey:
    """Returns the key that only the operator has."""
    newest = max((service.data_dir / "keys").glob("*.pem"))
    key = load_pem_private_key(newest.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = token.split(".")
    return json.loads(raw(header)), json.loads(raw(claims)), raw(signature)


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data: bytes | dict[str, Any]) -> str:
    """Encodes a header as UserManager does, which accepts no other spelling of it, and would not read the claims."""
    content = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(key: ec.EllipticCurvePrivateKey, header: Any, claims: Any) -> str:
    """Makes a token with this header and an ES256 signature, even if the header names another algorithm."""
    message = f"{encoded(header)}.{encoded(claims)}"
    r, s = utils.decode_dss_signature(key.sign(message.encode(), ec.ECDSA(SHA256())))
    return f"{message}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def with_signature(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{encoded(signature)}"


def keyless(token: str, _service: Service, _url: str) -> list[str]:
    """Returns tokens without a signature, or with characters outside the alphabet."""
    header, claims, signature = parts(token)
    names: tuple[Any, ...] = ("none", "None", "NONE", "nOnE", "", "HS256", None, 0, [], ["ES256"], {"alg": "ES256"})
    unsigned = [f"{encoded(header | {'alg': name})}.{encoded(claims)}." for name in names]
    head = token.rpartition(".")[0]
    last = token[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same_bits = alphabet[alphabet.index(last) ^ 1]  # a lenient decoder drops the unused bits of the last character
    return [
        *unsigned,
        *[f"{one}{encoded(signature)}" for one in unsigned],
        f"{head}.",
        head,
        f"{token}.",
        f".{token}",
        f"{token}.{encoded(signature)}",
        f"{token[:-1]}{same_bits}",
        f"{token}==",
        f"{token}!!",
        f"{token}A",
        f"{token[:-1]}",
        f"{token[:-2]}",
        f"{head}.{token.rpartition('.')[2][:20]} {token.rpartition('.')[2][20:]}",
        f"{head}.\t{token.rpartition('.')[2]}",
        "..",
        ".",
        "a.b.c",
        "e30.e30.e30",
        "A" * 7000,
        f"{head}.{'A' * 6000}",
        f"{encoded(b'[' * 4000)}.{encoded(claims)}.{encoded(signature)}",
        f"{encoded(json.dumps(header).encode()[:-1] + b',' + json.dumps({'x': 10**300}).encode()[1:])}.e30.e30",
        f"{encoded(bytes(range(256)))}.e30.e30",
        token.replace(".", "%2E"),
        f'"{token}"',
        f"Bearer {token}",
        f"{token},{token}",
    ]


def keys_of_others(token: str, service: Service, url: str) -> list[str]:
    """Returns tokens with the algorithm, the key or the key's URL of the attacker."""
    header, claims, _signature = parts(token)
    [jwk, *_older] = service.send(Call("GET", "/.well-known/jwks.json")).json()["keys"]
    public = signing_key(service).public_key()
    secrets = [public.public_bytes(form, PublicFormat.SubjectPublicKeyInfo) for form in (Encoding.PEM, Encoding.DER)]
    secrets += [secrets[0].strip(), json.dumps(jwk).encode(), raw(jwk["x"]) + raw(jwk["y"]), b"", b"\0"]
    confused = [_hs256(header, claims, secret) for secret in secrets]
    own_jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(THEIRS.public_key()))
    pem = THEIRS.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    headers = [
        {"jwk": own_jwk},
        {"jku": url},
        {"x5u": url},
        {"x5c": [base64.b64encode(pem.encode()).decode()]},
        {"jku": url, "kid": own_jwk["x"]},
        {"jku": f"http://localhost@{url.removeprefix('http://')}"},
        *[{"kid": kid} for kid in _bad_kids(url)],
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"enc": "A256GCM", "alg": "dir"},
        {"alg": "ES384"},
        {"alg": "es256"},
        {"alg": "RS256"},
    ]
    return [*confused, *[signed(THEIRS, header | extra, claims) for extra in headers], signed(THEIRS, {}, claims)]


def _bad_kids(url: str) -> list[Any]:
    return [
        *("../../../../dev/null", "/dev/null", "' OR 1=1 --", "' UNION SELECT 'x", url, "", " ", "\0", "%00"),
        *(None, 0, True, 1e308, [], ["a"], {}, {"a": 1}, "a" * 3000),
    ]


def _hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    message = f"{encoded(header | {'alg': 'HS256'})}.{encoded(claims)}"
    return f"{message}.{encoded(hmac.new(secret, message.encode(), hashlib.sha256).digest())}"


def bent_signatures(token: str, _service: Service, _url: str) -> list[str]:
    """Returns signatures that careless implementations of ECDSA accept."""
    _header, _claims, signature = parts(token)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    numbers = [(0, 0), (0, s), (r, 0), (ORDER, ORDER), (r, ORDER), (s, r), (r ^ 1, s), (r, s ^ 1), (1, 1)]
    pairs = [(a.to_bytes(32, "big") + b.to_bytes(32, "big")) for a, b in numbers]
    longer = [signature + b"\0", b"\0" + signature, signature[:-1], signature[:32], signature * 2, bytes(64), b""]
    return [with_signature(token, one) for one in [*pairs, *longer, utils.encode_dss_signature(r, s)]]


def other_claims(token: str, service: Service, _url: str) -> list[str]:
    """Returns tokens that are signed with the right key, but whose claims differ from those of a valid token."""
    header, claims, _signature = parts(token)
    key, now = signing_key(service), int(time.time())
    changes: list[dict[str, Any]] = [
        {"iss": "https://id.example.com"},
        {"iss": f"{service.url}/"},
        {"aud": "https://id.example.com"},
        {"aud": [service.url, "https://evil.example.com"]},
        {"aud": f"{service.url}/"},
        {"exp": now - 11},
        {"exp": "never"},
        {"exp": -1},
        {"iat": now + 60},
        {"nbf": now + 60},
        {"token_type": "refresh"},
        {"token_type": None},
        *({"sub": sub} for sub in (str(uuid4()), "me", "", None, 1, "' OR 1=1 --", [claims["sub"]])),
        *({"sid": sid} for sid in (str(uuid4()), claims["sub"], "", None, 1, [claims["sid"]])),
    ]
    without = [{name: claims[name] for name in claims if name != gone} for gone in _REQUIRED]
    tokens = [signed(key, header, claims | change) for change in changes]
    tokens += [signed(key, header, fewer) for fewer in without]
    typed: list[dict[str, Any]] = [{"typ": typ} for typ in ("JWT", "jwt", "at+JWT", "application/at+jwt", "", None, 1)]
    tokens += [signed(key, header | extra, claims) for extra in [*typed, {"alg": "none"}, {"kid": "other"}]]
    return [*tokens, signed(key, {"alg": "ES256", "kid": header["kid"]}, claims)]


_REQUIRED = ("iss", "aud", "sub", "sid", "jti", "iat", "exp", "token_type")


@pytest.mark.parametrize("forge", [keyless, keys_of_others, bent_signatures, other_claims])
def test_a_forged_access_token_is_rejected_like_any_other(
    forge: Callable[[str, Service, str], list[str]], service: Service, ana: Person, listener: Listener
) -> None:
    answers = set()
    for token in forge(ana.access, service, listener.url):
        signed_in = service.send(Call("GET", ME, headers={"Authorization": f"Bearer {token}"}))
        checked = service.ask("POST", "auth/token/verify/", token=token) if token.strip() else signed_in
        for answer in (signed_in, checked):
            assert answer.code == "token_not_valid", token
            answers.add(json.dumps(answer.json() | {"instance": ""}))
    assert len(answers) == 1
    assert listener.calls == 0
    valid = signed(signing_key(service), *parts(ana.access)[:2])  # made in the same way
    assert service.ask("GET", "users/me/", valid).status == 200


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "not_authenticated"),
        ("Bearer", "token_not_valid"),
        ("Bearer ", "token_not_valid"),
        ("Basic YW5hOmFuYQ==", "not_authenticated"),
        ("Token {}", "not_authenticated"),
        ("Bearer{}", "not_authenticated"),
        ("{}", "not_authenticated"),
        ("Bearer {}, Bearer {}", "token_not_valid"),
        ("Bearer null", "token_not_valid"),
        ("Bearer Ünïcode", "token_not_valid"),
    ],
)
def test_only_a_bearer_token_authenticates_a_request(header: str, code: str, service: Service, ana: Person) -> None:
    answer = service.send(Call("GET", ME, headers={"Authorization": header.replace("{}", ana.access)}))
    assert (answer.status, answer.code) == (401, code)


def test_the_scheme_is_read_in_any_case_and_the_header_once(service: Service, ana: Person) -> None:
    assert service.send(Call("GET", ME, headers={"Authorization": f"bearer {ana.access}"})).status == 200
    twice = {"Authorization": f"Bearer {ana.access}", "AUTHORIZATION": f"Bearer {ana.access}"}
    assert service.send(Call("GET", ME, headers=twice)).status == 401
    for smuggled in ({"Cookie": f"access={ana.access}"}, {"X-Authorization": f"Bearer {ana.access}"}):
        assert service.send(Call("GET", ME, headers=smuggled)).code == "not_authenticated"
    assert service.ask("GET", f"users/me/?access_token={ana.access}").code == "not_authenticated"


def test_a_token_of_the_same_keys_for_another_service_is_rejected(
    service: Service, guarded: Service, root: Person
) -> None:
    answer = guarded.send(
        Call(
            "POST",
            "/api/v1/auth/login/",
            body={"email": root.email, "password": root.password},
            headers=from_ip("198.18.0.9"),
        )
    )
    assert answer.status == 200
    assert service.ask("GET", "users/me/", answer.json()["access"]).code == "token_not_valid"


def test_a_rotation_of_keys_breaks_no_token(service: Service, ana: Person) -> None:
    before = {key["kid"] for key in _jwks(service)}
    with ThreadPoolExecutor() as pool:
        rotation = pool.submit(service.manage, "keys", "rotate", "--now")
        refresh, asked = ana.refresh, 0
        while not rotation.done() or asked < 20:
            assert ana.ask("GET", "users/me/").status == 200
            answer = service.must(200, "POST", "auth/token/refresh/", refresh=refresh)
            assert service.ask("GET", "users/me/", answer["access"]).status == 200
            refresh, asked = answer["refresh"], asked + 1
        rotation.result()
    after = {key["kid"] for key in _jwks(service)}
    assert before < after
    assert len(after) == len(before) + 1
    assert not any("d" in key for key in _jwks(service))
    newest = log_in(service, ana.email, PASSWORD)
    assert {jwt.get_unverified_header(newest.access)["kid"]} == after - before
    assert ana.ask("GET", "users/me/").status == 200


def _jwks(service: Service) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = service.send(Call("GET", "/.well-known/jwks.json")).json()["keys"]
    return keys
