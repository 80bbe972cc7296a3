"""Access tokens: signed JWTs with the user's permissions, each bound to a session, that authenticate a request."""

import json
import time
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken

from accounts import sessions
from accounts.errors import TokenNotValid
from accounts.jwt import signing_keys
from accounts.jwt.signing_keys import SigningKey
from accounts.models import Session, User


class SigningKeyBackend:
    """Signs with the current signing key. Verifies with the keys of the key set, and with no others (RFC 8725).

    PyJWT would have to read each token twice, and reads each character in Python. For a signed-in request, that took
    220 µs, and this takes 85. The signature alone takes 65, so it is checked once for each token: see _signed_claims().
    """

    def encode(self, payload: dict[str, Any]) -> str:
        """Returns a token with these claims. An internationalized domain is written in UTF-8 (RFC 7519, section 7.1).

        JSON escapes would take three times as many bytes, and a token over 4 KB doesn't fit into a cookie.
        """
        key = signing_keys.signing_key()
        claims = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        message = f"{key.header}.{urlsafe_base64_encode(claims.encode())}"
        return f"{message}.{urlsafe_base64_encode(key.sign(message.encode()))}"

    def decode(self, token: str, verify: bool = True) -> dict[str, Any]:
        """Returns the claims of a token that one of our keys signed. SessionAccessToken.verify() then checks them.

        Reads nothing of an unsigned token but its header, which is compared as a text. Raises TokenNotValid, or
        ValueError for `verify=False`.
        """
        if not verify:
            raise ValueError("an access token is never read unverified")
        header, _dot, _rest = token.partition(".")
        key = signing_keys.find_by_header(header)
        if key is None:
            raise TokenNotValid
        return dict(_signed_claims(key, token))


@lru_cache(maxsize=1024)  # 3 MB: a token has some 800 bytes, and its claims as objects have 2 KB
def _signed_claims(key: SigningKey, token: str) -> dict[str, Any]:
    """Returns the claims of a token that this key signed. Raises TokenNotValid, and then the cache keeps nothing.

    A client sends its token with many requests, and the signature of a token never changes. What may change is checked
    for each request: whether the key is in the key set, the times in the claims, and the session.
    """
    message, _dot, signature = token.rpartition(".")
    _header, _dot, payload = message.partition(".")
    try:
        if key.has_signed(message.encode(), _decoded(signature)):
            claims = json.loads(_decoded(payload))
            if isinstance(claims, dict):
                return claims
    except (ValueError, RecursionError) as error:
        raise TokenNotValid from error
    raise TokenNotValid


def _decoded(part: str) -> bytes:
    """Returns the bytes of a part of a token. Raises ValueError for a second spelling of the same bytes, such as one
    with padding, unused bits or characters outside the alphabet (RFC 7515, section 2 permits only one)."""
    content = urlsafe_base64_decode(part)
    if urlsafe_base64_encode(content) != part:
        raise ValueError("not the only spelling in base64url")
    return content


class SessionAccessToken(AccessToken):
    """SimpleJWT's access token, signed with our key set and bound to a session."""

    @property
    def lifetime(self) -> Any:  # type: ignore[override]
        return settings.ACCESS_TOKEN_LIFETIME

    def get_token_backend(self) -> Any:
        return SigningKeyBackend()

    def verify(self) -> None:
        """Checks the claims. Requires those that do not describe the user, and reads `nbf` if it is there.

        Raises TokenNotValid.
        """
        claims, now = self.payload, time.time()
        texts = [claims.get(name) for name in ("sub", "sid", "jti")]
        moments = [claims.get("iat"), claims.get("exp"), claims.get("nbf", 0), claims.get("auth_time", 0)]
        is_valid = (
            claims.get("iss") == claims.get("aud") == settings.PUBLIC_URL
            and claims.get("token_type") == self.token_type
            and all(type(text) is str for text in texts)
            and all(type(moment) is int for moment in moments)  # a boolean is no time
            and claims["iat"] <= now + signing_keys.CLOCK_SKEW.total_seconds()
            and claims.get("nbf", 0) <= now < claims["exp"]
        )
        if not is_valid:
            raise TokenNotValid


def issue(session: Session) -> str:
    """Returns an access token of the session, with the current role and permissions of its user."""
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
        "acr": session.acr,
        "amr": session.methods,
        "auth_time": int(session.authenticated_at.timestamp()),
    }
    return str(token)


def find_session(token: str) -> Session:
    """Returns the active session of a valid access token, with its user. Raises TokenNotValid."""
    claims = SessionAccessToken(token)  # type: ignore[arg-type]
    try:
        session_id, user_id = UUID(claims["sid"]), UUID(claims["sub"])
    except ValueError as error:
        raise TokenNotValid from error
    session = sessions.find(session_id, user_id)
    # An older version issued tokens without these.
    session.token_auth_time, session.token_acr = claims.get("auth_time", 0), claims.get("acr", "aal1")
    return session


class SessionJWTAuthentication(JWTAuthentication):
    """Authenticates a request with `Authorization: Bearer`. `request.auth` is the session."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:  # type: ignore[override]
        scheme, _space, token = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        session = find_session(token.strip())
        return session.user, session
