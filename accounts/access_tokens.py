"""Access tokens: what a JWT of ours claims, how it is signed, and how one signs in with it."""

import json
import re
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from django.utils import timezone
from jwt.utils import base64url_decode, base64url_encode
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken

from accounts import keys, sessions
from accounts.errors import TokenNotValid
from accounts.models import Session, User

ALGORITHM = "ES256"
TYPE = "at+jwt"  # RFC 9068, section 2.1
REQUIRED_CLAIMS = ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "token_type"]
_SHAPE = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class Utf8Encoder(json.JSONEncoder):
    """Writes an international domain in UTF-8 (RFC 7519, section 7.1, step 2).

    Its escapes would take three times as many bytes, and a token over 4 KB fits into no cookie.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"ensure_ascii": False})


class KeyRingBackend:
    """Signs with the newest key of the ring and checks with any of it, and with nothing else (RFC 8725)."""

    def encode(self, payload: dict[str, Any]) -> str:
        key = keys.signing_key()
        headers = {"kid": key.kid, "typ": TYPE}
        return jwt.encode(payload, key.private, ALGORITHM, headers=headers, json_encoder=Utf8Encoder)

    def decode(self, token: str, verify: bool = True) -> dict[str, Any]:
        """The claims of a token. Raises TokenNotValid; `verify=False` is refused, as nobody needs it."""
        if not verify:
            raise ValueError("an access token is never read unchecked")
        try:
            return self._decode(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as fault:  # the last by a header nested too deeply
            raise TokenNotValid from fault

    def _decode(self, token: str) -> dict[str, Any]:
        _check_spelling(token)
        header = jwt.get_unverified_header(token)
        key = keys.find(header.get("kid"))
        if key is None or header != {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE}:  # no `crit`, `jku`, `b64` or else
            raise TokenNotValid
        return jwt.decode(
            token,
            key.public,
            algorithms=[ALGORITHM],
            audience=settings.PUBLIC_URL,
            issuer=settings.PUBLIC_URL,
            options={"require": REQUIRED_CLAIMS, "verify_iat": False, "strict_aud": True},
        )


class SessionAccessToken(AccessToken):
    """SimpleJWT's access token, signed with the key ring and bound to a session."""

    @property
    def lifetime(self) -> Any:  # type: ignore[override]
        return settings.ACCESS_TOKEN_LIFETIME

    def get_token_backend(self) -> Any:
        return KeyRingBackend()

    def verify(self) -> None:
        """What PyJWT does not check: the kind of the token, and that it was not issued in the future."""
        latest = timezone.now() + keys.CLOCK_SKEW
        issued_at = self["iat"]
        if self["token_type"] != self.token_type or type(issued_at) is not int or issued_at > latest.timestamp():
            raise TokenNotValid


def issue(session: Session) -> str:
    """An access token of the session, with what its user is and may at this moment."""
    user = session.user
    token = SessionAccessToken()
    token.payload |= {
        "iss": settings.PUBLIC_URL,
        "aud": settings.PUBLIC_URL,
        "sub": str(user.pk),
        "sid": str(session.pk),
        "email": user.email,
        "email_verified": user.email_verified,
        "role": user.role.name,
        "permissions": user.permissions,
    }
    return str(token)


def check(token: str) -> Session:
    """The living session of a valid access token, with its user. Raises TokenNotValid."""
    claims = SessionAccessToken(token)  # type: ignore[arg-type]
    try:
        session_id, user_id = UUID(str(claims["sid"])), UUID(str(claims["sub"]))
    except ValueError as fault:
        raise TokenNotValid from fault
    return sessions.find(session_id, user_id)


def _check_spelling(token: str) -> None:
    """One token has one spelling (RFC 7515, section 2); PyJWT overlooks padding, foreign characters and spare bits."""
    signature = token.rpartition(".")[2]
    if not _SHAPE.fullmatch(token) or base64url_encode(base64url_decode(signature)).decode() != signature:
        raise TokenNotValid


class SessionJWTAuthentication(JWTAuthentication):
    """Signs a request in with `Authorization: Bearer`; `request.auth` is the session."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:  # type: ignore[override]
        scheme, _space, token = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        session = check(token.strip())
        return session.user, session
