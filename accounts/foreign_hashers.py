"""Checks password hashes of other systems that Django's own hashers cannot: of salts that are bytes, of more memory.

A user who logs in with one gets a hash of ours instead; no new hash is ever made here.
"""

import base64
import hashlib
import logging
import secrets
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from django.conf import settings
from django.contrib.auth.hashers import BasePasswordHasher, ScryptPasswordHasher

_log = logging.getLogger(__name__)

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


class FirebaseScrypt(ForeignHasher):
    """Firebase's own scrypt (github.com/firebase/scrypt), the parameters being `rounds,mem_cost,salt separator`.

    scrypt makes a key of the password, and this encrypts the signer key of the Firebase project; the result is the
    hash. The signer key is the secret FIREBASE_SIGNER_KEY, so a copy of the database alone cannot be attacked.
    """

    algorithm = "firebase_scrypt"

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        signer_key: bytes = settings.FIREBASE_SIGNER_KEY
        if not signer_key:
            _log.error("A password hash of Firebase cannot be checked: FIREBASE_SIGNER_KEY is not set.")
            raise ValueError("no signer key")
        rounds, mem_cost, separator = parameters.split(",")
        salted = salt + base64.b64decode(separator)
        n, r = 2 ** int(mem_cost), int(rounds)
        key = hashlib.scrypt(password, salt=salted, n=n, r=r, p=1, dklen=32, maxmem=SCRYPT_BYTES)
        encryptor = Cipher(AES(key), CTR(bytes(16))).encryptor()
        return encryptor.update(signer_key) + encryptor.finalize()


class Phpass(ForeignHasher):
    """Portable hashes of phpass, as WordPress wrote them before 6.8 and phpBB does: MD5, 2^parameters times."""

    algorithm = "phpass"

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        digest = hashlib.md5(salt + password, usedforsecurity=False).digest()
        for _each in range(2 ** int(parameters)):
            digest = hashlib.md5(digest + password, usedforsecurity=False).digest()
        return digest


class Scrypt(ScryptPasswordHasher):
    """Django's, which lets OpenSSL refuse whatever takes 32 MiB or more, as N = 2^15 does."""

    maxmem = SCRYPT_BYTES
