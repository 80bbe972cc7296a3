"""How passwords are hashed and checked: bcrypt over SHA-256 for all, plain bcrypt only to check what was imported."""

import unicodedata

import bcrypt
from django.conf import settings
from django.contrib.auth import hashers

from accounts.hashing_gate import gate

BCRYPT_BYTES = 72


def make(password: str) -> str:
    """The hash to store. It takes a quarter of a second: never call it inside a transaction.

    Raises Overloaded when too many hashes wait already.
    """
    return gate().run(hashers.make_password, normalized(password))


def verify(password: str, encoded: str) -> tuple[bool, bool]:
    """Whether the password is the right one, and whether its hash should be replaced by a newer kind.

    An unknown user's empty hash takes as long as a wrong password. Raises Overloaded as make() does.
    """
    return gate().run(_verify, password, encoded)


def normalized(password: str) -> str:
    """One form for a password that keyboards compose in different ways (NIST SP 800-63B-4, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _verify(password: str, encoded: str) -> tuple[bool, bool]:
    preferred = hashers.get_hasher()
    try:
        hasher = hashers.identify_hasher(encoded)
    except ValueError:  # no password was ever set, or nobody has this address
        preferred.encode(normalized(password), preferred.salt())
        return False, False
    is_foreign = hasher.algorithm != preferred.algorithm
    must_update = is_foreign or preferred.must_update(encoded)
    is_right = hasher.verify(normalized(password), encoded) or (
        is_foreign and _is_right_as_typed(hasher, password, encoded)
    )
    if must_update and not is_right:
        hasher.harden_runtime(password, encoded)
    return is_right, must_update


def _is_right_as_typed(hasher: hashers.BasePasswordHasher, password: str, encoded: str) -> bool:
    """Other systems hash what was typed, which the normal form of a letter such as ² is not."""
    return password != normalized(password) and hasher.verify(password, encoded)


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
