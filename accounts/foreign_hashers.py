"""Checks password hashes of other systems that Django's own hashers cannot: of salts that are bytes, of more memory.

A user who logs in with one gets a hash of ours instead; no new hash is ever made here.
"""

import base64
import hashlib
import secrets
from typing import Any

from django.contrib.auth.hashers import BasePasswordHasher, ScryptPasswordHasher

SCRYPT_BYTES = 256 * 1024 * 1024  # what one hash may take of memory


class ForeignHasher(BasePasswordHasher):
    """`algorithm$parameters$salt$hash`, salt and hash in base64."""

    def verify(self, password: str, encoded: str) -> bool:
        decoded = self.decode(encoded)
        computed = self.compute(password.encode(), decoded["parameters"], decoded["salt"], len(decoded["hash"]))
        return secrets.compare_digest(computed, decoded["hash"])

    def decode(self, encoded: str) -> dict[str, Any]:
        _algorithm, parameters, salt, digest = encoded.split("$")
        return {"parameters": parameters, "salt": base64.b64decode(salt), "hash": base64.b64decode(digest)}

    def must_update(self, encoded: str) -> bool:
        return True

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Nothing: how long a refusal takes is decided for all hashers at once, in accounts.hashers."""

    def safe_summary(self, encoded: str) -> dict[Any, Any]:
        return {"algorithm": self.algorithm, "parameters": self.decode(encoded)["parameters"]}

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        raise NotImplementedError


class ForeignPBKDF2(ForeignHasher):
    """PBKDF2 (RFC 8018), the parameters being `digest,iterations`."""

    algorithm = "foreign_pbkdf2"

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        digest, iterations = parameters.split(",")
        return hashlib.pbkdf2_hmac(digest, password, salt, int(iterations), length)


class ForeignScrypt(ForeignHasher):
    """scrypt (RFC 7914), the parameters being `N,r,p`."""

    algorithm = "foreign_scrypt"

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        n, r, p = map(int, parameters.split(","))
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, dklen=length, maxmem=SCRYPT_BYTES)


class Scrypt(ScryptPasswordHasher):
    """Django's, which lets OpenSSL refuse whatever takes 32 MiB or more, as N = 2^15 does."""

    maxmem = SCRYPT_BYTES
