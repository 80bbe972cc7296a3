"""Only a valid access token authenticates a request; forged and malformed ones don't (RFC 8725, RFC 9068)."""

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

from accounts import login
from accounts.errors import TokenNotValid
from accounts.jwt import access_tokens, signing_keys
from accounts.mfa import proofs
from accounts.models import Session, User
from tests.conftest import refused

ME = "/api/v1/users/me/"
MINE = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def claims(session: Session) -> dict[str, Any]:
    """Returns the claims of a valid token of ana."""
    return read(access_tokens.issue(session))


def read(token: str) -> dict[str, Any]:
    payload: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return payload


def sign(claims: dict[str, Any], *, key: Any = None, algorithm: str = "ES256", **header: Any) -> str:
    """Signs a token with these claims, valid or not, with our own key or the given one."""
    ours = signing_keys.signing_key()
    header = {"kid": ours.kid, "typ": "at+jwt"} | header
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key or ours.private, algorithm, header)


def assemble(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """Assembles a token from arbitrary parts, which no library would do."""
    return ".".join((spelled(header), spelled(claims), encoded(signature)))


def spelled(part: dict[str, Any]) -> str:
    """Encodes a header as issue() does, which is the only spelling that is accepted."""
    return encoded(json.dumps(part, separators=(",", ":"), sort_keys=True).encode())


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def assert_rejected(token: str) -> None:
    """Asserts that the token is rejected, both in the header of a request and by the endpoint that checks tokens."""
    with pytest.raises(TokenNotValid):
        access_tokens.find_session(token)
    answer = APIClient().get(ME, headers={"Authorization": f"Bearer {token}"})
    refused(answer, 401, "token_not_valid")
    assert answer["WWW-Authenticate"] == "Bearer"
    refused(APIClient().post("/api/v1/auth/token/verify/", {"token": token or "."}, "json"), 401, "token_not_valid")


def test_names_its_user_and_their_permissions(session: Session, ana: User, settings: Settings) -> None:
    settings.ACCESS_TOKEN_LIFETIME = timedelta(minutes=7)
    token = access_tokens.issue(session)
    claims = read(token)
    header = {"alg": "ES256", "kid": signing_keys.signing_key().kid, "typ": "at+jwt"}
    assert jwt.get_unverified_header(token) == header
    assert token.startswith(f"{spelled(header)}.")  # as in earlier versions, whose tokens are still accepted
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
        "acr": "aal1",
        "amr": ["pwd"],
        "auth_time": int(session.created_at.timestamp()),
    }


def test_carries_the_permissions_of_the_role(carla: User) -> None:
    claims = read(access_tokens.issue(login.open_session(carla, proofs.PASSWORD)[0]))
    assert claims["role"] == "manager"
    assert claims["permissions"] == ["users.add", "users.change", "users.delete", "users.view"]


def test_no_two_are_the_same(session: Session) -> None:
    assert read(access_tokens.issue(session))["jti"] != read(access_tokens.issue(session))["jti"]


def test_another_service_can_verify_one_with_the_public_keys_alone(session: Session, settings: Settings) -> None:
    token = access_tokens.issue(session)
    published = jwt.PyJWKSet.from_dict(signing_keys.jwks())
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["ES256"], audience=settings.PUBLIC_URL, issuer=settings.PUBLIC_URL)
    assert claims["sid"] == str(session.pk)


def test_authenticates_a_request(claims: dict[str, Any], session: Session) -> None:
    assert access_tokens.find_session(sign(claims)) == session


def test_is_rejected_once_it_has_expired(claims: dict[str, Any]) -> None:
    assert_rejected(sign(claims | {"exp": int(time.time()) - 11}))


def test_is_rejected_if_it_was_issued_in_the_future(claims: dict[str, Any]) -> None:
    assert_rejected(sign(claims | {"iat": int(time.time()) + 60}))


def test_a_clock_that_is_a_little_fast_does_no_harm(claims: dict[str, Any], session: Session) -> None:
    assert access_tokens.find_session(sign(claims | {"iat": int(time.time()) + 5})) == session


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "token_type"])
def test_no_claim_may_be_missing(claims: dict[str, Any], name: str) -> None:
    del claims[name]
    assert_rejected(sign(claims))


ODD_VALUES: list[Any] = [None, "", "x", 0, -1, True, [], {}, 1e308, 10**400, float("inf"), float("nan"), "2020-01-01"]


@pytest.mark.parametrize("name", ["sub", "sid", "iss", "aud", "exp", "iat", "token_type", "jti", "nbf", "auth_time"])
def test_no_claim_may_have_an_invalid_value(claims: dict[str, Any], name: str) -> None:
    still_good: dict[str, list[Any]] = {
        "exp": [10**400],
        "iat": [0, -1],
        "nbf": [0, -1],
        "auth_time": [0, -1, 10**400],
        "jti": ["", "x", "2020-01-01"],
    }
    for odd in ODD_VALUES:
        if odd not in still_good.get(name, []):
            with pytest.raises(TokenNotValid):
                access_tokens.find_session(sign(claims | {name: odd}))


@pytest.mark.parametrize("name", ["sub", "sid"])
def test_an_unknown_id_is_rejected(claims: dict[str, Any], name: str) -> None:
    assert_rejected(sign(claims | {name: "not-a-uuid"}))
    assert_rejected(sign(claims | {name: str(uuid.uuid4())}))


def test_the_session_of_another_user_is_rejected(claims: dict[str, Any], bruno: User) -> None:
    assert_rejected(sign(claims | {"sub": str(bruno.pk)}))


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
def test_a_token_for_another_purpose_is_rejected(claims: dict[str, Any], wrong: dict[str, Any]) -> None:
    assert_rejected(sign(claims | wrong))


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "application/json", "", None, 1])
def test_a_token_of_another_type_is_rejected(claims: dict[str, Any], typ: Any) -> None:
    assert_rejected(sign(claims, typ=typ))


@pytest.mark.parametrize("kid", ["", "other", "../../etc/passwd", "' OR 1=1 --", "a\x00b"])
def test_a_key_outside_the_key_set_is_not_looked_for(claims: dict[str, Any], kid: str) -> None:
    assert_rejected(sign(claims, kid=kid))


@pytest.mark.parametrize("header", [{}, {"kid": None}, {"kid": 1}, {"kid": ["a"]}, {"kid": {"a": 1}}])
def test_a_token_without_a_usable_key_id_is_rejected(claims: dict[str, Any], header: dict[str, Any]) -> None:
    assert_rejected(assemble({"alg": "ES256", "typ": "at+jwt"} | header, claims, b"x" * 64))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "ES384", "RS256", 1, None])
def test_the_token_does_not_choose_its_algorithm(claims: dict[str, Any], algorithm: Any) -> None:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": signing_keys.signing_key().kid}
    assert_rejected(assemble(header, claims))
    assert_rejected(assemble(header, claims, b"x" * 64))


def test_the_public_key_is_no_shared_secret(claims: dict[str, Any]) -> None:
    public = signing_keys.signing_key().public
    header = {"alg": "HS256", "typ": "at+jwt", "kid": signing_keys.signing_key().kid}
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(signing_keys.signing_key().jwk()).encode(),
        b"",
    ):
        unsigned = assemble(header, claims).rstrip(".")
        signature = hmac.digest(secret, unsigned.encode(), "sha256")
        assert_rejected(f"{unsigned}.{encoded(signature)}")


def test_a_foreign_key_cannot_sign(claims: dict[str, Any]) -> None:
    assert_rejected(sign(claims, key=MINE))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_token_brings_no_key_of_its_own(claims: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise AssertionError("a request was sent")

    monkeypatch.setattr("socket.socket.connect", fail)
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(MINE.public_key()))
    brought = {"jwk": jwk, "jku": "https://evil.example.com/jwks", "x5u": "https://evil.example.com/x", "x5c": ["MII"]}
    assert_rejected(sign(claims, key=MINE, **{name: brought[name]}))
    assert_rejected(sign(claims, key=MINE, kid="theirs", **{name: brought[name]}))


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["x-unknown"], [], "exp", None, 1])
def test_a_critical_header_is_not_ignored(claims: dict[str, Any], crit: Any) -> None:
    assert_rejected(sign(claims, crit=crit, exp=1))


def test_a_detached_payload_is_rejected(claims: dict[str, Any]) -> None:
    assert_rejected(sign(claims, b64=False))


def test_a_signature_holds_for_its_own_token_alone(claims: dict[str, Any], carla: User) -> None:
    head, body, signature = sign(claims).split(".")
    other = sign(claims | {"sub": str(carla.pk)}).split(".")
    assert_rejected(".".join((head, other[1], signature)))
    assert_rejected(".".join((head, body, other[2])))
    assert_rejected(f"{head}.{body}.")
    assert_rejected(f"{head}.{body}.{encoded(bytes(64))}")
    assert_rejected(f"{head}.{body}")


def test_a_refresh_token_is_no_access_token(ana: User) -> None:
    _session, refresh = login.open_session(ana, proofs.PASSWORD)
    refused(APIClient().get(ME, headers={"Authorization": f"Bearer {refresh}"}), 401, "token_not_valid")


def test_is_never_read_unverified(claims: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unverified"):
        access_tokens.SigningKeyBackend().decode(sign(claims), verify=False)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer x", "BEARER a.b.c", "Bearer  x  y"])
def test_a_bearer_header_without_a_token_is_rejected(db: None, header: str) -> None:
    refused(APIClient().get(ME, headers={"Authorization": header}), 401, "token_not_valid")


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Token x", "x"])
def test_another_scheme_authenticates_no_request(db: None, header: str) -> None:
    answer = APIClient().get(ME, headers={"Authorization": header})
    refused(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(session: Session, scheme: str) -> None:
    answer = APIClient().get(ME, headers={"Authorization": f"{scheme} {access_tokens.issue(session)}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("extra", [{"crit": ["x"], "x": 1}, {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}])
def test_a_header_with_other_members_is_rejected(claims: dict[str, Any], extra: dict[str, Any]) -> None:
    assert_rejected(sign(claims, **extra))
