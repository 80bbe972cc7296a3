"""An access token proves a session, and nothing that only looks like one does (RFC 8725, RFC 9068)."""

import base64
import hmac
import json
import time
import uuid
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import access_tokens, keys, login
from accounts.errors import TokenNotValid
from accounts.models import Session, User
from tests.conftest import refused

ME = "/api/v1/users/me/"
MINE = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def claims(session: Session) -> dict[str, Any]:
    """What a good token of ana's says."""
    return read(access_tokens.issue(session))


def read(token: str) -> dict[str, Any]:
    payload: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return payload


def sign(claims: dict[str, Any], *, key: Any = None, algorithm: str = "ES256", **header: Any) -> str:
    """A token of these claims, however odd, signed with our own key unless another is given."""
    ours = keys.signing_key()
    header = {"kid": ours.kid, "typ": "at+jwt"} | header
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key or ours.private, algorithm, header)


def assemble(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token of any parts whatever, which no library would make."""
    return ".".join(encoded(part) for part in (json.dumps(header).encode(), json.dumps(claims).encode(), signature))


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def refuse(token: str) -> None:
    """The token is refused, in the header of a request and as a token to check alike."""
    with pytest.raises(TokenNotValid):
        access_tokens.check(token)
    answer = APIClient().get(ME, headers={"Authorization": f"Bearer {token}"})
    refused(answer, 401, "token_not_valid")
    assert answer["WWW-Authenticate"] == "Bearer"
    refused(APIClient().post("/api/v1/auth/token/verify/", {"token": token or "."}, "json"), 401, "token_not_valid")


def test_says_who_one_is_and_what_one_may(session: Session, ana: User, settings: Settings) -> None:
    settings.ACCESS_TOKEN_LIFETIME = timedelta(minutes=7)
    token = access_tokens.issue(session)
    claims = read(token)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": keys.signing_key().kid, "typ": "at+jwt"}
    assert claims.pop("exp") - claims["iat"] == 7 * 60
    assert abs(claims.pop("iat") - time.time()) < 5
    assert claims.pop("jti")
    assert claims == {
        "iss": settings.PUBLIC_URL,
        "aud": settings.PUBLIC_URL,
        "sub": str(ana.pk),
        "sid": str(session.pk),
        "token_type": "access",
        "email": "ana@example.com",
        "email_verified": True,
        "role": "user",
        "permissions": [],
    }


def test_carries_the_permissions_of_the_role(carla: User) -> None:
    claims = read(access_tokens.issue(login.open_session(carla)[0]))
    assert claims["role"] == "manager"
    assert claims["permissions"] == ["users.add", "users.change", "users.delete", "users.view"]


def test_no_two_are_the_same(session: Session) -> None:
    assert read(access_tokens.issue(session))["jti"] != read(access_tokens.issue(session))["jti"]


def test_a_stranger_to_us_can_check_one_with_the_public_keys_alone(session: Session, settings: Settings) -> None:
    token = access_tokens.issue(session)
    published = jwt.PyJWKSet.from_dict(keys.jwks())
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["ES256"], audience=settings.PUBLIC_URL, issuer=settings.PUBLIC_URL)
    assert claims["sid"] == str(session.pk)


def test_signs_in(claims: dict[str, Any], session: Session) -> None:
    assert access_tokens.check(sign(claims)) == session


def test_is_refused_once_it_has_expired(claims: dict[str, Any]) -> None:
    refuse(sign(claims | {"exp": int(time.time()) - 11}))


def test_is_refused_when_it_comes_from_the_future(claims: dict[str, Any]) -> None:
    refuse(sign(claims | {"iat": int(time.time()) + 60}))


def test_a_clock_that_is_a_little_fast_does_no_harm(claims: dict[str, Any], session: Session) -> None:
    assert access_tokens.check(sign(claims | {"iat": int(time.time()) + 5})) == session


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "token_type"])
def test_no_claim_may_be_missing(claims: dict[str, Any], name: str) -> None:
    del claims[name]
    refuse(sign(claims))


ODD_VALUES: list[Any] = [None, "", "x", 0, -1, True, [], {}, 1e308, 10**400, float("inf"), float("nan"), "2020-01-01"]


@pytest.mark.parametrize("name", ["sub", "sid", "iss", "aud", "exp", "iat", "token_type"])
def test_no_claim_may_be_odd(claims: dict[str, Any], name: str) -> None:
    still_good: dict[str, list[Any]] = {"exp": [1e308, 10**400], "iat": [0, -1]}
    for odd in ODD_VALUES:
        if odd not in still_good.get(name, []):
            with pytest.raises(TokenNotValid):
                access_tokens.check(sign(claims | {name: odd}))


@pytest.mark.parametrize("name", ["sub", "sid"])
def test_an_id_that_is_none_of_ours_is_refused(claims: dict[str, Any], name: str) -> None:
    refuse(sign(claims | {name: "not-a-uuid"}))
    refuse(sign(claims | {name: str(uuid.uuid4())}))


def test_somebody_elses_session_is_refused(claims: dict[str, Any], bruno: User) -> None:
    refuse(sign(claims | {"sub": str(bruno.pk)}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example.com"},
        {"aud": "https://evil.example.com"},
        {"aud": ["http://localhost:8000", "https://evil.example.com"]},
        {"token_type": "refresh"},
        {"token_type": "Access"},
        {"nbf": 2**40},
    ],
    ids=str,
)
def test_a_token_for_another_purpose_is_refused(claims: dict[str, Any], wrong: dict[str, Any]) -> None:
    refuse(sign(claims | wrong))


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "application/json", "", None, 1])
def test_a_token_of_another_type_is_refused(claims: dict[str, Any], typ: Any) -> None:
    refuse(sign(claims, typ=typ))


@pytest.mark.parametrize("kid", ["", "other", "../../etc/passwd", "' OR 1=1 --", "a\x00b"])
def test_a_key_that_is_not_in_the_ring_is_not_looked_for(claims: dict[str, Any], kid: str) -> None:
    refuse(sign(claims, kid=kid))


@pytest.mark.parametrize("header", [{}, {"kid": None}, {"kid": 1}, {"kid": ["a"]}, {"kid": {"a": 1}}])
def test_a_token_without_a_usable_key_id_is_refused(claims: dict[str, Any], header: dict[str, Any]) -> None:
    refuse(assemble({"alg": "ES256", "typ": "at+jwt"} | header, claims, b"x" * 64))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "ES384", "RS256", 1, None])
def test_the_token_does_not_choose_its_algorithm(claims: dict[str, Any], algorithm: Any) -> None:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": keys.signing_key().kid}
    refuse(assemble(header, claims))
    refuse(assemble(header, claims, b"x" * 64))


def test_the_public_key_is_no_shared_secret(claims: dict[str, Any]) -> None:
    public = keys.signing_key().public
    header = {"alg": "HS256", "typ": "at+jwt", "kid": keys.signing_key().kid}
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(keys.signing_key().jwk()).encode(),
        b"",
    ):
        unsigned = assemble(header, claims).rstrip(".")
        signature = hmac.digest(secret, unsigned.encode(), "sha256")
        refuse(f"{unsigned}.{encoded(signature)}")


def test_a_stranger_cannot_sign(claims: dict[str, Any]) -> None:
    refuse(sign(claims, key=MINE))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_token_brings_no_key_of_its_own(claims: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise AssertionError("somebody was called outside")

    monkeypatch.setattr("socket.socket.connect", fail)
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(MINE.public_key()))
    brought = {"jwk": jwk, "jku": "https://evil.example.com/jwks", "x5u": "https://evil.example.com/x", "x5c": ["MII"]}
    refuse(sign(claims, key=MINE, **{name: brought[name]}))
    refuse(sign(claims, key=MINE, kid="theirs", **{name: brought[name]}))


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["x-unknown"], [], "exp", None, 1])
def test_what_the_token_calls_critical_is_not_overlooked(claims: dict[str, Any], crit: Any) -> None:
    refuse(sign(claims, crit=crit, exp=1))


def test_a_detached_payload_is_refused(claims: dict[str, Any]) -> None:
    refuse(sign(claims, b64=False))


def test_a_signature_holds_for_its_own_token_alone(claims: dict[str, Any], carla: User) -> None:
    head, body, signature = sign(claims).split(".")
    other = sign(claims | {"sub": str(carla.pk)}).split(".")
    refuse(".".join((head, other[1], signature)))
    refuse(".".join((head, body, other[2])))
    refuse(f"{head}.{body}.")
    refuse(f"{head}.{body}.{encoded(bytes(64))}")
    refuse(f"{head}.{body}")


@pytest.mark.parametrize(
    "text",
    [".", "..", "...", "a.b.c", "e30.e30.", "é.é.é", "a b.c", "\ufeff..", ".".join(["x" * 4000] * 3)],
    ids=lambda text: ascii(text)[:20],
)
def test_what_is_no_token_is_refused(db: None, text: str) -> None:
    with pytest.raises(TokenNotValid):
        access_tokens.check(text)
    refused(APIClient().post("/api/v1/auth/token/verify/", {"token": text}, "json"), 401, "token_not_valid")


@pytest.mark.parametrize("filling", [b"[" * 5000, b'{"a":' * 1000, b"1" * 5000, b"\xff", b"[]", b"null", b'{"kid":'])
def test_a_header_or_payload_that_no_reader_takes_is_refused(db: None, filling: bytes) -> None:
    refuse(f"{encoded(filling)}.e30.AAAA")
    good = encoded(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": keys.signing_key().kid}).encode())
    unsigned = f"{good}.{encoded(filling)}"
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256, ec.SECP256R1).sign(
        unsigned.encode(), keys.signing_key().private
    )
    refuse(f"{unsigned}.{encoded(signature)}")


def test_a_refresh_token_is_no_access_token(ana: User) -> None:
    _session, refresh = login.open_session(ana)
    refused(APIClient().get(ME, headers={"Authorization": f"Bearer {refresh}"}), 401, "token_not_valid")


def test_is_never_read_unchecked(claims: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unchecked"):
        access_tokens.KeyRingBackend().decode(sign(claims), verify=False)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer x", "BEARER a.b.c", "Bearer  x  y"])
def test_a_bearer_without_a_token_is_refused(db: None, header: str) -> None:
    refused(APIClient().get(ME, headers={"Authorization": header}), 401, "token_not_valid")


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Token x", "x"])
def test_any_other_scheme_signs_nobody_in(db: None, header: str) -> None:
    answer = APIClient().get(ME, headers={"Authorization": header})
    refused(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(session: Session, scheme: str) -> None:
    answer = APIClient().get(ME, headers={"Authorization": f"{scheme} {access_tokens.issue(session)}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("extra", [{"crit": ["x"], "x": 1}, {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}])
def test_a_header_says_what_ours_say_and_no_more(claims: dict[str, Any], extra: dict[str, Any]) -> None:
    refuse(sign(claims, **extra))
