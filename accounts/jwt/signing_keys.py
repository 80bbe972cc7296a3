"""The signing keys: ES256 keys for access tokens, as files in DATA_DIR/keys.

A new key is published at once and signs PUBLISHED_BEFORE later. By then, services that cached the JWKS have fetched it
again. The newest key that may sign signs. An older key stays in the key set until the last token that it signed has
expired.
"""

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.utils import timezone
from django.utils.http import urlsafe_base64_encode
from jwt.algorithms import ECAlgorithm

from accounts import private_files

ALGORITHM = "ES256"
TYPE = "at+jwt"  # RFC 9068, section 2.1
CLOCK_SKEW = timedelta(seconds=10)
JWKS_MAX_AGE = timedelta(minutes=5)  # of Cache-Control
# A cache on the way and a library (jose: ten minutes) may keep the JWKS for this long together.
PUBLISHED_BEFORE = JWKS_MAX_AGE + timedelta(minutes=10)
_TIME = "%Y%m%dT%H%M%S%fZ"
_ES256 = ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1)
# A file system may store times in steps of up to two seconds. Two changes within one step leave the same time.
_STEP_OF_CHANGE_TIMES = timedelta(seconds=3)


@dataclass(frozen=True)
class SigningKey:
    kid: str
    private: ec.EllipticCurvePrivateKey = field(compare=False)  # the kid is its thumbprint, so comparing that suffices
    created_at: datetime
    signs_from: datetime

    @cached_property
    def public(self) -> ec.EllipticCurvePublicKey:
        return self.private.public_key()

    @cached_property
    def header(self) -> str:
        """Returns the encoded header of each token that the key signs. We accept no other header and no other spelling:
        no `crit`, `jku` or `b64`."""
        header = json.dumps({"alg": ALGORITHM, "kid": self.kid, "typ": TYPE}, separators=(",", ":"))
        return urlsafe_base64_encode(header.encode())

    def sign(self, message: bytes) -> bytes:
        return _ES256.sign(message, self.private)

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        return _ES256.verify(message, self.public, signature)

    def jwk(self) -> dict[str, Any]:
        """Returns the public key as a JWK (RFC 7517)."""
        return {**ECAlgorithm.to_jwk(self.public, as_dict=True), "kid": self.kid, "use": "sig", "alg": ALGORITHM}


def key_set() -> tuple[SigningKey, ...]:
    """Returns the keys of all tokens that may be valid now or later, the last to sign first. Makes the first key."""
    return _unexpired(_read_all() or (ensure(),))


def signing_key() -> SigningKey:
    return _signing(key_set())


def state(key: SigningKey) -> str:
    """Returns `signing`, `pending` for a published key that signs later, or `retired` for one that only verifies."""
    if key == signing_key():
        return "signing"
    return "pending" if key.signs_from > timezone.now() else "retired"


def find(kid: object) -> SigningKey | None:
    """Returns the key of the key set with this id, or None."""
    return next((key for key in key_set() if key.kid == kid), None)


def find_by_header(header: str) -> SigningKey | None:
    """Returns the key of the key set whose tokens have this encoded header, or None."""
    return next((key for key in key_set() if key.header == header), None)


def jwks() -> dict[str, list[dict[str, Any]]]:
    return {"keys": [key.jwk() for key in key_set()]}


def ensure() -> SigningKey:
    """Returns the key that signs. Makes the first key; if two processes make one at once, both keys stay."""
    keys = _read_all()
    return _signing(keys) if keys else rotate(at_once=True)


def rotate(*, at_once: bool = False) -> SigningKey:
    """Makes a key that signs after PUBLISHED_BEFORE, or from now on if `at_once`.

    In that case, services that cached the JWKS reject its tokens until they fetch it again.
    """
    now = timezone.now()
    private = _new_private_key()
    key = SigningKey(_thumbprint(private.public_key()), private, now, now if at_once else now + PUBLISHED_BEFORE)
    _write(key)
    return key


def revoke(key: SigningKey) -> SigningKey | None:
    """Removes a key. From the next request on, tokens that it signed are rejected.

    If the key was the one that signs, makes a new key that signs from now on, and returns that.
    """
    successor = rotate(at_once=True) if key == signing_key() else None
    prune()  # an older key would return: its end counts from the time at which its successor began to sign
    _path(key).unlink(missing_ok=True)
    private_files.sync_folder(_folder())
    return successor


def prune() -> int:
    """Removes the keys whose tokens have all expired. Returns how many."""
    keys = _read_all()
    expired = set(keys) - set(_unexpired(keys))
    for key in expired:
        _path(key).unlink(missing_ok=True)
    return len(expired)


def expires_at(keys: tuple[SigningKey, ...], index: int) -> datetime | None:
    """Returns when the last token of the key at this index has expired; None for a key that signs or will sign."""
    successor = keys[index - 1] if index else None
    if successor is None or successor.signs_from > timezone.now():
        return None
    return successor.signs_from + settings.ACCESS_TOKEN_LIFETIME + CLOCK_SKEW


def _signing(keys: tuple[SigningKey, ...]) -> SigningKey:
    """Returns the newest key that may sign. If the clock was set back, none may yet, and the oldest signs."""
    now = timezone.now()
    return next((key for key in keys if key.signs_from <= now), keys[-1])


def _unexpired(keys: tuple[SigningKey, ...]) -> tuple[SigningKey, ...]:
    now = timezone.now()
    ends = (expires_at(keys, index) for index in range(len(keys)))
    return tuple(key for key, end in zip(keys, ends, strict=True) if end is None or end > now)


class _Folder(NamedTuple):
    """What the folder contained. `changed` is None if a later change might not change it."""

    changed: tuple[int, int, int] | None
    paths: list[Path]
    keys: tuple[SigningKey, ...]


_folder_cache = _Folder(None, [], ())  # one value, which threads replace as a whole


def _read_all() -> tuple[SigningKey, ...]:
    """Returns the keys in the folder. Reads them again if it changed, so all processes notice a rotation at their next
    request.

    A request asks only when the folder changed last. The kernel answers that from memory, in 2 µs.
    """
    global _folder_cache
    known, status = _folder_cache, _folder_status()
    changed = (status.st_dev, status.st_ino, status.st_ctime_ns)  # programs can't set the ctime
    if known.changed == changed:
        return known.keys
    is_settled = time.time_ns() - status.st_ctime_ns > _STEP_OF_CHANGE_TIMES.total_seconds() * 1e9
    folder = _folder()
    paths = [folder / name for name in sorted(os.listdir(folder), reverse=True) if name.endswith(".pem")]
    keys = known.keys if known.paths == paths else _read_files(paths)
    _folder_cache = _Folder(changed if is_settled else None, paths, keys)
    return keys


def _folder_status() -> os.stat_result:
    try:
        return os.stat(f"{settings.DATA_DIR}/keys")
    except FileNotFoundError:
        return _folder().stat()


def _read_files(paths: list[Path]) -> tuple[SigningKey, ...]:
    keys = (key for path in paths if (key := _read(path)))
    return tuple(sorted(keys, key=lambda key: (key.signs_from, key.created_at), reverse=True))


def _read(path: Path) -> SigningKey | None:
    """Reads a key file, or returns None if the file was pruned since the folder was listed.

    The name is <created>-<kid>.pem for a key that signs from its creation, as all did in early versions, and otherwise
    <created>-<kid>.<signs from>.pem.
    """
    created, _dash, rest = path.stem.partition("-")
    kid, _dot, signs_from = rest.partition(".")
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise TypeError(f"{path} is not an elliptic curve key for {ALGORITHM}")
    return SigningKey(kid, private, _moment(created), _moment(signs_from or created))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _new_private_key() -> ec.EllipticCurvePrivateKey:
    """Makes a key whose kid doesn't start with "-". `keys revoke KID` would read that as an option."""
    while True:
        private = ec.generate_private_key(ec.SECP256R1())
        if not _thumbprint(private.public_key()).startswith("-"):
            return private


def _write(key: SigningKey) -> None:
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private_files.replace(_path(key), pem)


def _path(key: SigningKey) -> Path:
    later = "" if key.signs_from == key.created_at else f".{key.signs_from.strftime(_TIME)}"
    return _folder() / f"{key.created_at.strftime(_TIME)}-{key.kid}{later}.pem"


def _folder() -> Path:
    folder: Path = settings.DATA_DIR / "keys"
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _thumbprint(public: ec.EllipticCurvePublicKey) -> str:
    """Returns the key's id, computed from the key itself (RFC 7638)."""
    members = json.dumps(ECAlgorithm.to_jwk(public, as_dict=True), sort_keys=True, separators=(",", ":"))
    return urlsafe_base64_encode(hashlib.sha256(members.encode()).digest())
