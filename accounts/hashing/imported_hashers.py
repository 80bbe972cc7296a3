"""Verifies imported password hashes that Django's hashers can't: with binary salts, or with more memory.

When a user logs in with one, the login replaces it. These hashers never make a new hash.
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

SCRYPT_BYTES = 256 * 1024 * 1024  # the memory that one hash may use


class ImportedHasher(BasePasswordHasher):
    """Reads `algorithm$parameters$salt$hash`, with salt and hash in base64."""

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
        """Does nothing: accounts.hashing.hashers makes every wrong password take equally long."""

    def safe_summary(self, encoded: str) -> dict[Any, Any]:
        return {"algorithm": self.algorithm, "parameters": self.decode(encoded)["parameters"]}

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        raise NotImplementedError


class ImportedPBKDF2(ImportedHasher):
    """PBKDF2 (RFC 8018). The parameters are `digest,iterations`."""

    algorithm = "foreign_pbkdf2"

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        digest, iterations = parameters.split(",")
        return hashlib.pbkdf2_hmac(digest, password, salt, int(iterations), length)


class ImportedScrypt(ImportedHasher):
    """scrypt (RFC 7914). The parameters are `N,r,p`."""

    algorithm = "foreign_scrypt"

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        n, r, p = map(int, parameters.split(","))
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, dklen=length, maxmem=SCRYPT_BYTES)


class FirebaseScrypt(ImportedHasher):
    """Firebase's own scrypt (github.com/firebase/scrypt). The parameters are `rounds,mem_cost,salt separator`.

    scrypt derives a key from the password. The hash is the signer key of the Firebase project, encrypted with that key.
    The signer key is the secret FIREBASE_SIGNER_KEY, so a copy of the database alone doesn't suffice for an attack.
    """

    algorithm = "firebase_scrypt"

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        signer_key: bytes = settings.FIREBASE_SIGNER_KEY
        if not signer_key:
            _log.error("A password hash from Firebase can't be verified: FIREBASE_SIGNER_KEY is not set.")
            raise ValueError("no signer key")
        rounds, mem_cost, separator = parameters.split(",")
        salted = salt + base64.b64decode(separator)
        n, r = 2 ** int(mem_cost), int(rounds)
        key = hashlib.scrypt(password, salt=salted, n=n, r=r, p=1, dklen=32, maxmem=SCRYPT_BYTES)
        encryptor = Cipher(AES(key), CTR(bytes(16))).encryptor()
        return encryptor.update(signer_key) + encryptor.finalize()


class Phpass(ImportedHasher):
    """Portable hashes of phpass, from phpBB and WordPress before 6.8: MD5, 2^parameters times."""

    algorithm = "phpass"

    def compute(self, password: bytes, parameters: str, salt: bytes, length: int) -> bytes:
        digest = hashlib.md5(salt + password, usedforsecurity=False).digest()
        for _each in range(2 ** int(parameters)):
            digest = hashlib.md5(digest + password, usedforsecurity=False).digest()
        return digest


class Scrypt(ScryptPasswordHasher):
    """Django's scrypt with a higher memory limit. OpenSSL's default of 32 MiB rejects hashes with N = 2^15."""

    maxmem = SCRYPT_BYTES
