"""The key ring: the ES256 keys that access tokens are signed with, as files in DATA_DIR/keys.

A new key is published first and signs PUBLISHED_BEFORE later, when services that cached the JWKS have fetched it again.
The newest of those that may sign does. An older one stays in the ring until the last token that it signed has expired.
"""

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.utils import timezone

CLOCK_SKEW = timedelta(seconds=10)
JWKS_MAX_AGE = timedelta(minutes=5)  # of Cache-Control
# For as long as a cache on the way and a library (jose: ten minutes) together keep the JWKS.
PUBLISHED_BEFORE = JWKS_MAX_AGE + timedelta(minutes=10)
_TIME = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True)
class SigningKey:
    kid: str
    private: ec.EllipticCurvePrivateKey = field(compare=False)  # the kid is its thumbprint
    created_at: datetime
    signs_from: datetime

    @property
    def public(self) -> ec.EllipticCurvePublicKey:
        return self.private.public_key()

    def jwk(self) -> dict[str, Any]:
        """The public half as RFC 7517 wants it."""
        return {**_thumbprint_members(self.public), "kid": self.kid, "use": "sig", "alg": "ES256"}


def ring() -> tuple[SigningKey, ...]:
    """All keys that a living or a future token may be signed with, the last to sign first; made at the first use."""
    return _alive(_read_all() or (ensure(),))


def signing_key() -> SigningKey:
    return _signing(ring())


def state(key: SigningKey) -> str:
    """`pending`: published, and will sign. `signing`. `retired`: checks what it signed."""
    if key == signing_key():
        return "signing"
    return "pending" if key.signs_from > timezone.now() else "retired"


def find(kid: object) -> SigningKey | None:
    """The key of the ring with this id; never one from anywhere else."""
    return next((key for key in ring() if key.kid == kid), None)


def jwks() -> dict[str, list[dict[str, Any]]]:
    return {"keys": [key.jwk() for key in ring()]}


def ensure() -> SigningKey:
    """The key that signs; makes the first one. Of two processes that both make one, both keys stand."""
    keys = _read_all()
    return _signing(keys) if keys else rotate(at_once=True)


def rotate(*, at_once: bool = False) -> SigningKey:
    """Makes a key that signs after PUBLISHED_BEFORE.

    `at_once`: from now on. Services that cached the JWKS then refuse its tokens until they fetch it again.
    """
    now = timezone.now()
    private = _new_private_key()
    key = SigningKey(_thumbprint(private.public_key()), private, now, now if at_once else now + PUBLISHED_BEFORE)
    _write(key)
    return key


def revoke(key: SigningKey) -> SigningKey | None:
    """Removes a key: from the next request on, tokens that it signed are refused.

    If it was the one that signed, a new key signs from now on, and is returned.
    """
    successor = rotate(at_once=True) if key == signing_key() else None
    prune()  # an older key would live again: until its tokens expire counts from when the next one began to sign
    _path(key).unlink(missing_ok=True)
    _sync_folder()
    return successor


def prune() -> int:
    """Removes the keys that no living token is signed with; returns how many."""
    keys = _read_all()
    dead = set(keys) - set(_alive(keys))
    for key in dead:
        _path(key).unlink(missing_ok=True)
    return len(dead)


def expires_at(keys: tuple[SigningKey, ...], index: int) -> datetime | None:
    """When the key at this place of the ring has signed no living token any more; None for one that signs or will."""
    successor = keys[index - 1] if index else None
    if successor is None or successor.signs_from > timezone.now():
        return None
    return successor.signs_from + settings.ACCESS_TOKEN_LIFETIME + CLOCK_SKEW


def _signing(keys: tuple[SigningKey, ...]) -> SigningKey:
    """The newest that may sign; where a clock was set back, none may yet, and the oldest does."""
    now = timezone.now()
    return next((key for key in keys if key.signs_from <= now), keys[-1])


def _alive(keys: tuple[SigningKey, ...]) -> tuple[SigningKey, ...]:
    now = timezone.now()
    ends = (expires_at(keys, index) for index in range(len(keys)))
    return tuple(key for key, end in zip(keys, ends, strict=True) if end is None or end > now)


_cache: tuple[list[Path], tuple[SigningKey, ...]] | None = None


def _read_all() -> tuple[SigningKey, ...]:
    """The keys in the folder, read again when it changed: a rotation holds for the next request of every process."""
    global _cache
    folder = _folder()
    paths = [folder / name for name in sorted(os.listdir(folder), reverse=True) if name.endswith(".pem")]
    if _cache is None or _cache[0] != paths:
        keys = (key for path in paths if (key := _read(path)))
        _cache = (paths, tuple(sorted(keys, key=lambda key: (key.signs_from, key.created_at), reverse=True)))
    return _cache[1]


def _read(path: Path) -> SigningKey | None:
    """None for a file that was pruned since the folder was listed.

    Named <created>-<kid>.pem where it signs from its beginning, as all did once, else <created>-<kid>.<signs from>.pem.
    """
    created, _dash, rest = path.stem.partition("-")
    kid, _dot, signs_from = rest.partition(".")
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} is not an elliptic curve key")
    return SigningKey(kid, private, _moment(created), _moment(signs_from or created))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _new_private_key() -> ec.EllipticCurvePrivateKey:
    """One whose kid does not begin with "-": `keys revoke KID` would take that for an option."""
    while True:
        private = ec.generate_private_key(ec.SECP256R1())
        if not _thumbprint(private.public_key()).startswith("-"):
            return private


def _write(key: SigningKey) -> None:
    """The whole file appears at once, readable by its owner alone, and survives a power cut."""
    path = _path(key)
    draft = path.with_name(f"{path.stem}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    _sync_folder()


def _path(key: SigningKey) -> Path:
    later = "" if key.signs_from == key.created_at else f".{key.signs_from.strftime(_TIME)}"
    return _folder() / f"{key.created_at.strftime(_TIME)}-{key.kid}{later}.pem"


def _sync_folder() -> None:
    """What was written or removed survives a power cut: a revoked key must not come back."""
    handle = os.open(_folder(), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _folder() -> Path:
    folder: Path = settings.DATA_DIR / "keys"
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _thumbprint(public: ec.EllipticCurvePublicKey) -> str:
    """The key's name, derived from the key itself (RFC 7638)."""
    members = json.dumps(_thumbprint_members(public), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(members.encode()).digest())


def _thumbprint_members(public: ec.EllipticCurvePublicKey) -> dict[str, str]:
    point = public.public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (point.x, point.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
