"""How passwords are hashed and checked: bcrypt over SHA-256 for all, plain bcrypt only to check what was imported."""

import base64
import hmac
import time
import unicodedata
from contextlib import AbstractContextManager
from math import floor, log2

import bcrypt
from django.conf import settings
from django.contrib.auth import hashers

from accounts.hashing_gate import gate

BCRYPT_BYTES = 72
LEAST_COST = 4
_UNUSABLE = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError)  # what hashers say to a damaged hash


def require_room() -> None:
    """Raises Overloaded when the client's network has its share of the waiting hashes; asked before a body is read."""
    gate().require_room()


def place(*, is_known: bool = False) -> AbstractContextManager[None]:
    """A place for all that is hashed within the block, so that nothing in it is refused as Overloaded; raises that.

    `is_known` says that the account logged in from this network within 30 days.
    """
    return gate().place(is_known=is_known)


def make(password: str) -> str:
    """The hash to store. It takes a quarter of a second: never call it inside a transaction.

    Raises Overloaded when too many hashes wait already.
    """
    return gate().run(hashers.make_password, normalized(password))


def verify(password: str, encoded: str) -> tuple[bool, str]:
    """Whether the password is the right one and, if it is and its hash is of an older kind, a hash to replace it with.

    A wrong password takes the same time whatever hash it is compared with, and so does an unknown user's empty one.
    Raises Overloaded as make() does.
    """
    return gate().run(_verify, password, encoded)


def normalized(password: str) -> str:
    """One form for a password that keyboards compose in different ways (NIST SP 800-63B-4, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _verify(password: str, encoded: str) -> tuple[bool, str]:
    preferred = hashers.get_hasher()
    forms = list(dict.fromkeys([normalized(password), password]))  # other systems hash a letter such as ² as typed
    try:
        hasher = hashers.identify_hasher(encoded)
        clock = time.perf_counter if hasher.algorithm == "argon2" else time.thread_time  # it has threads of its own
        started = clock()
        is_right = any(hasher.verify(form, encoded) for form in forms)
    except _UNUSABLE:  # no password was ever set, nobody has this address, or no password fits what is stored
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
        _hash_on(len(forms), clock() - started)
    return False, ""


def _hash_on(times: int, seconds: float) -> None:
    """Computes what is missing to so many hashes of ours after this time was spent on others.

    How long one takes shows from portions of it: the first is a 64th, the others what is missing, rounded down.
    """
    cost, done, busy = settings.BCRYPT_ROUNDS - 6, 0.0, 0.0
    while cost >= LEAST_COST:
        started = time.thread_time()
        bcrypt.hashpw(b"", bcrypt.gensalt(cost))
        busy += time.thread_time() - started
        done += 2.0 ** (cost - settings.BCRYPT_ROUNDS)
        missing = times - done - seconds * done / busy
        cost = min(settings.BCRYPT_ROUNDS, settings.BCRYPT_ROUNDS + floor(log2(missing))) if missing > 0 else 0


class BCryptSHA256(hashers.BCryptSHA256PasswordHasher):
    """The hasher of every new password."""

    @property
    def rounds(self) -> int:  # type: ignore[override]
        return settings.BCRYPT_ROUNDS

    def must_update(self, encoded: str) -> bool:
        """Only ever upwards: a lowered BCRYPT_ROUNDS must not weaken the hashes that stand."""
        return int(self.decode(encoded)["work_factor"]) < self.rounds

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Spends the 2^rounds - 2^cost steps that a cheaper hash saved, so that its refusal comes no sooner."""
        decoded = self.decode(encoded)
        for cost in range(int(decoded["work_factor"]), self.rounds):
            self.encode(password, f"${decoded['algostr']}${cost:02d}${decoded['salt']}".encode())  # type: ignore[arg-type]


class BCrypt(BCryptSHA256):
    """Hashes of other systems, which hashed the password itself; they cut it at 72 bytes, where bcrypt 5 raises."""

    algorithm = "bcrypt"

    def encode(self, password: str, salt: str | bytes) -> str:
        setting = salt.encode() if isinstance(salt, str) else salt
        return f"{self.algorithm}${bcrypt.hashpw(password.encode()[:BCRYPT_BYTES], setting).decode('ascii')}"


class WordPressBCrypt(BCrypt):
    """Hashes of WordPress since 6.8, which hashes the password before, so that bcrypt does not cut a long one."""

    algorithm = "wordpress_bcrypt"

    def encode(self, password: str, salt: str | bytes) -> str:
        digest = hmac.digest(b"wp-sha384", password.encode(), "sha384")
        return super().encode(base64.b64encode(digest).decode("ascii"), salt)
