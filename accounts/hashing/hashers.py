"""Hashes and verifies passwords. New hashes are bcrypt over SHA-256; plain bcrypt only verifies imported hashes."""

import base64
import hmac
import time
import unicodedata
from contextlib import AbstractContextManager
from math import floor, log2

import bcrypt
from django.conf import settings
from django.contrib.auth import hashers

from accounts.hashing.limiter import get_limiter

BCRYPT_BYTES = 72
MIN_COST = 4
_HASHER_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError)  # raised for a damaged hash


def require_free_slot() -> None:
    """Raises Overloaded if the client's network could get no slot. Reserves nothing: the API asks before it reads the
    body, and a login asks before it looks up the user."""
    get_limiter().require_free_slot()


def slot(*, is_known: bool = False) -> AbstractContextManager[None]:
    """Holds one slot for all hashes of the block. Raises Overloaded at its start, and never within it.

    `is_known` says that the account is known from the client's network, see known_networks.
    """
    return get_limiter().slot(is_known=is_known)


def make(password: str) -> str:
    """Returns the hash to store. It takes a quarter of a second: never call it inside a transaction.

    Raises Overloaded if too many hashes are waiting.
    """
    return get_limiter().run(hashers.make_password, normalized(password))


def verify(password: str, encoded: str) -> tuple[bool, str]:
    """Returns whether the password is right, and a new hash if it is and `encoded` is outdated, otherwise an empty one.

    A wrong password takes the same time for every kind of hash, and for the empty hash of an unknown user. Raises
    Overloaded as make() does.
    """
    return get_limiter().run(_verify, password, encoded)


def normalized(password: str) -> str:
    """Returns the NFKC form of a password, because keyboards compose the same character in different ways.

    NIST SP 800-63B recommends it in revision 3 (section 5.1.1.2). Revision 4 recommends NFC, but then the stored hashes
    of passwords with characters such as ² would no longer match.
    """
    return unicodedata.normalize("NFKC", password)


def _verify(password: str, encoded: str) -> tuple[bool, str]:
    preferred = hashers.get_hasher()
    forms = list(dict.fromkeys([normalized(password), password]))  # other systems hash characters such as ² as typed
    try:
        hasher = hashers.identify_hasher(encoded)
        clock = time.perf_counter if hasher.algorithm == "argon2" else time.thread_time  # argon2 starts threads
        started = clock()
        is_right = any(hasher.verify(form, encoded) for form in forms)
    except _HASHER_ERRORS:  # an unknown user, a user without a password, or a damaged hash
        for form in forms:
            preferred.encode(form, preferred.salt())
        return False, ""
    if is_right:
        is_old = hasher.algorithm != preferred.algorithm or preferred.must_update(encoded)
        return True, preferred.encode(forms[0], preferred.salt()) if is_old else ""
    if isinstance(hasher, BCryptSHA256):
        for form in forms:
            hasher.harden_runtime(form, encoded)
    else:
        _compute_missing_hashes(len(forms), clock() - started)
    return False, ""


def _compute_missing_hashes(times: int, seconds: float) -> None:
    """Computes bcrypt until the work equals `times` hashes with BCRYPT_ROUNDS, after `seconds` of other hashing.

    Computes parts of a hash and measures them: first a 64th, then the missing work, rounded down to a power of two.
    """
    cost, done, busy = settings.BCRYPT_ROUNDS - 6, 0.0, 0.0
    while cost >= MIN_COST:
        started = time.thread_time()
        bcrypt.hashpw(b"", bcrypt.gensalt(cost))
        busy += time.thread_time() - started
        done += 2.0 ** (cost - settings.BCRYPT_ROUNDS)
        missing = times - done - seconds * done / busy
        cost = min(settings.BCRYPT_ROUNDS, settings.BCRYPT_ROUNDS + floor(log2(missing))) if missing > 0 else 0


class BCryptSHA256(hashers.BCryptSHA256PasswordHasher):
    """Hashes every new password."""

    @property
    def rounds(self) -> int:  # type: ignore[override]
        return settings.BCRYPT_ROUNDS

    def must_update(self, encoded: str) -> bool:
        """Returns whether the hash has too few rounds, never too many: a lowered setting weakens no stored hash."""
        return int(self.decode(encoded)["work_factor"]) < self.rounds

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Computes the 2^rounds - 2^cost steps that a cheaper hash saved. So a wrong password takes equally long."""
        decoded = self.decode(encoded)
        for cost in range(int(decoded["work_factor"]), self.rounds):
            self.encode(password, f"${decoded['algostr']}${cost:02d}${decoded['salt']}".encode())  # type: ignore[arg-type]


class BCrypt(BCryptSHA256):
    """Verifies plain bcrypt hashes of other systems.

    bcrypt uses the first 72 bytes of a password. The library rejects longer ones since version 5, so this cuts them.
    """

    algorithm = "bcrypt"

    def encode(self, password: str, salt: str | bytes) -> str:
        setting = salt.encode() if isinstance(salt, str) else salt
        return f"{self.algorithm}${bcrypt.hashpw(password.encode()[:BCRYPT_BYTES], setting).decode('ascii')}"


class WordPressBCrypt(BCrypt):
    """Verifies hashes of WordPress 6.8 and later: bcrypt over an HMAC of the password, so a long one is not cut."""

    algorithm = "wordpress_bcrypt"

    def encode(self, password: str, salt: str | bytes) -> str:
        digest = hmac.digest(b"wp-sha384", password.encode(), "sha384")
        return super().encode(base64.b64encode(digest).decode("ascii"), salt)
