"""Rewrites the password hashes of other systems in the form that UserManager's hashers read.

Each login attempt computes the hash. So a hash is rejected if it takes more than a second, or more memory than a login
may use. Its parameters show that; no hash is computed here.
"""

import base64
import binascii
import re
from collections.abc import Callable

from django.conf import settings

MAX_ENCODED_LENGTH = 255
# The maximum of each kind, and the seconds that it took on one core of a current server.
MAX_PBKDF2_ROUNDS = {"sha1": 2_000_000, "sha256": 2_000_000, "sha512": 1_000_000}  # 0.4; iterations times blocks
MAX_ARGON2_KIB = 256 * 1024
MAX_ARGON2_WORK = 768 * 1024  # 0.7; memory in KiB times passes
MAX_SCRYPT_BYTES = 128 * 1024 * 1024  # 0.3; 128 N r p
MAX_PHPASS_LOG2 = 18  # 0.1; MD5 in a Python loop, which blocks the other threads
MAX_BCRYPT_COST = 14  # 0.8; or BCRYPT_ROUNDS, if the operator chose more
_DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}


class UnknownHash(ValueError):
    """The text is not a hash that UserManager can check; the message says why."""


def normalize(text: str) -> str:
    """Returns the hash in the form that `User.password` stores.

    Accepts bcrypt (`$2a$`, `$2b$`, `$2y$`), argon2, PassLib's PBKDF2 and scrypt, phpass, WordPress, and the forms that
    Django and UserManager store. Raises UnknownHash.
    """
    for pattern, read in _KINDS:
        if found := pattern.fullmatch(text):
            known = read(found)
            if len(known) > MAX_ENCODED_LENGTH:
                raise UnknownHash("the password hash is too long")
            return known
    raise UnknownHash("this kind of password hash is not known")


def pbkdf2(digest: str, iterations: int, salt: bytes, key: bytes) -> str:
    """Returns a PBKDF2 hash made of its parts, as Keycloak stores them. Raises UnknownHash."""
    if digest not in MAX_PBKDF2_ROUNDS or not key:
        raise UnknownHash("this kind of PBKDF2 is not known")
    _check_pbkdf2(digest, iterations, len(key))
    return f"foreign_pbkdf2${digest},{iterations}${_base64(salt)}${_base64(key)}"


def firebase(rounds: int, mem_cost: int, salt_separator: bytes, salt: bytes, key: bytes) -> str:
    """Returns a Firebase hash made of its parts; the signer key of the project is a setting. Raises UnknownHash."""
    _require_valid(0 < mem_cost < 32 and bool(salt) and bool(key))
    _check_scrypt(2**mem_cost, rounds, 1)
    return f"firebase_scrypt${rounds},{mem_cost},{_base64(salt_separator)}${_base64(salt)}${_base64(key)}"


def decode_base64(text: str) -> bytes:
    """Decodes Base64 with or without padding. Raises UnknownHash."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise UnknownHash("the password hash is damaged") from error


def _bcrypt(found: re.Match[str]) -> str:
    """Clears the padding bits in the last characters of salt and key. Our library rejects others than 0."""
    _require_affordable(int(found["rounds"]) <= max(MAX_BCRYPT_COST, settings.BCRYPT_ROUNDS))
    salt = found["salt"][:-1] + _clear_low_bits(found["salt"][-1], 4)
    key = found["key"][:-1] + _clear_low_bits(found["key"][-1], 2)
    return f"{found['ours'] or 'bcrypt$'}{found['cost']}{salt}{key}"


def _clear_low_bits(character: str, number: int) -> str:
    return _BCRYPT_ALPHABET[_BCRYPT_ALPHABET.index(character) >> number << number]


def _wordpress(found: re.Match[str]) -> str:
    """Reads bcrypt over an HMAC of the password (WordPress 6.8, wp_hash_password)."""
    plain = _KINDS[0][0].fullmatch(found["bcrypt"] or found["own"])
    if plain is None:
        raise UnknownHash("the password hash is damaged")
    return f"wordpress_{_bcrypt(plain)}"


def _phpass(found: re.Match[str]) -> str:
    """Reads a portable hash of phpass. Its 22 characters are a number of 128 bits, the lowest bits first."""
    log2 = _PHPASS_ALPHABET.index(found["log2"])
    number = sum(_PHPASS_ALPHABET.index(character) << 6 * place for place, character in enumerate(found["key"]))
    _require_valid(number < 2**128)
    return _encode_phpass(log2, found["salt"].encode(), number.to_bytes(16, "little"))


def _phpass_from_database(found: re.Match[str]) -> str:
    return _encode_phpass(int(found["log2"]), decode_base64(found["salt"]), decode_base64(found["key"]))


def _encode_phpass(log2: int, salt: bytes, key: bytes) -> str:
    _require_valid(log2 >= 7 and len(key) == 16)
    _require_affordable(log2 <= MAX_PHPASS_LOG2)
    return f"phpass${log2}${_base64(salt)}${_base64(key)}"


def _firebase_from_database(found: re.Match[str]) -> str:
    separator, salt, key = (decode_base64(found[part]) for part in ("separator", "salt", "key"))
    return firebase(int(found["rounds"]), int(found["mem_cost"]), separator, salt, key)


def _argon2(found: re.Match[str]) -> str:
    memory, passes = int(found["memory"]), int(found["passes"])
    _require_affordable(memory <= MAX_ARGON2_KIB and memory * passes <= MAX_ARGON2_WORK)
    salt, key = (decode_base64(found[part]) for part in ("salt", "key"))
    _require_valid(memory >= 8 * int(found["lanes"]) > 0 and len(salt) >= 8 and len(key) >= 4)
    return f"argon2${found['hash']}"


def _django_pbkdf2(found: re.Match[str]) -> str:
    digest = found["digest"]
    _check_pbkdf2(digest, int(found["iterations"]), _DIGEST_BYTES[digest])  # Django always computes one block
    decode_base64(found["key"])
    return found[0]


def _passlib_pbkdf2(found: re.Match[str]) -> str:
    salt, key = (decode_base64(found[part].replace(".", "+")) for part in ("salt", "key"))
    return pbkdf2(found["digest"] or "sha1", int(found["iterations"]), salt, key)


def _pbkdf2_from_database(found: re.Match[str]) -> str:
    salt, key = (decode_base64(found[part]) for part in ("salt", "key"))
    return pbkdf2(found["digest"], int(found["iterations"]), salt, key)


def _django_scrypt(found: re.Match[str]) -> str:
    _check_scrypt(int(found["n"]), int(found["r"]), int(found["p"]))
    decode_base64(found["key"])
    return found[0]


def _scrypt_from_database(found: re.Match[str]) -> str:
    return _encode_scrypt(int(found["n"]), found)


def _passlib_scrypt(found: re.Match[str]) -> str:
    return _encode_scrypt(2 ** int(found["log_n"]), found)


def _encode_scrypt(n: int, found: re.Match[str]) -> str:
    r, p = int(found["r"]), int(found["p"])
    _check_scrypt(n, r, p)
    salt, key = (_base64(decode_base64(found[part])) for part in ("salt", "key"))
    return f"foreign_scrypt${n},{r},{p}${salt}${key}"


_BASE64 = "[A-Za-z0-9+/]+={0,2}"
_SALT = "[ -#%-~]+"  # as Django writes it, without "$"
_BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PHPASS_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KINDS: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(pattern, re.ASCII), read)
    for pattern, read in (
        (
            r"(?P<ours>bcrypt_sha256\$|bcrypt\$)?(?P<cost>\$2[aby]\$(?P<rounds>0[4-9]|1[0-6])\$)"
            r"(?P<salt>[./A-Za-z0-9]{22})(?P<key>[./A-Za-z0-9]{31})",
            _bcrypt,
        ),
        (
            r"(?:argon2)?\$(?P<hash>argon2(?:id|i|d)\$v=19\$m=(?P<memory>\d{1,7}),t=(?P<passes>[1-9]\d{0,3}),p=(?P<lanes>\d{1,3})"
            rf"\$(?P<salt>{_BASE64})\$(?P<key>{_BASE64}))",
            _argon2,
        ),
        (rf"pbkdf2_(?P<digest>sha256|sha1)\$(?P<iterations>\d{{1,9}})\${_SALT}\$(?P<key>{_BASE64})", _django_pbkdf2),
        (
            r"\$pbkdf2(?:-(?P<digest>sha256|sha512))?\$(?P<iterations>\d{1,9})"
            r"\$(?P<salt>[./A-Za-z0-9]*)\$(?P<key>[./A-Za-z0-9]+)",
            _passlib_pbkdf2,
        ),
        (
            rf"scrypt\$(?P<n>\d{{1,9}})\${_SALT}\$(?P<r>\d{{1,3}})\$(?P<p>\d{{1,3}})\$(?P<key>{_BASE64})",
            _django_scrypt,
        ),
        (
            r"\$scrypt\$ln=(?P<log_n>\d{1,2}),r=(?P<r>\d{1,3}),p=(?P<p>\d{1,3})"
            rf"\$(?P<salt>[A-Za-z0-9+/]*)\$(?P<key>{_BASE64})",
            _passlib_scrypt,
        ),
        (
            rf"foreign_pbkdf2\$(?P<digest>sha\d+),(?P<iterations>\d{{1,9}})\$(?P<salt>(?:{_BASE64})?)\$(?P<key>{_BASE64})",
            _pbkdf2_from_database,
        ),
        (
            rf"foreign_scrypt\$(?P<n>\d{{1,9}}),(?P<r>\d{{1,3}}),(?P<p>\d{{1,3}})"
            rf"\$(?P<salt>(?:{_BASE64})?)\$(?P<key>{_BASE64})",
            _scrypt_from_database,
        ),
        (r"\$wp(?P<bcrypt>\$2[aby]\$.*)|wordpress_(?P<own>bcrypt\$\$2[aby]\$.*)", _wordpress),
        (r"\$[PH]\$(?P<log2>[./0-9A-Za-z])(?P<salt>[./0-9A-Za-z]{8})(?P<key>[./0-9A-Za-z]{22})", _phpass),
        (rf"phpass\$(?P<log2>\d{{1,2}})\$(?P<salt>{_BASE64})\$(?P<key>{_BASE64})", _phpass_from_database),
        (
            rf"firebase_scrypt\$(?P<rounds>\d{{1,3}}),(?P<mem_cost>\d{{1,2}}),(?P<separator>(?:{_BASE64})?)"
            rf"\$(?P<salt>{_BASE64})\$(?P<key>{_BASE64})",
            _firebase_from_database,
        ),
    )
]


def _check_pbkdf2(digest: str, iterations: int, length: int) -> None:
    """Raises UnknownHash. Each block of a key, as long as the digest, takes all iterations (RFC 8018, section 5.2)."""
    blocks = -(-length // _DIGEST_BYTES[digest])
    _require_affordable(iterations > 0 and iterations * blocks <= MAX_PBKDF2_ROUNDS[digest])


def _check_scrypt(n: int, r: int, p: int) -> None:
    _require_valid(n >= 2 and not n & (n - 1) and r > 0 and p > 0 and n < 2 ** (16 * r))
    _require_affordable(128 * r * n * p <= MAX_SCRYPT_BYTES)


def _require_valid(is_valid: bool) -> None:
    if not is_valid:
        raise UnknownHash("the password hash is damaged")


def _require_affordable(is_affordable: bool) -> None:
    if not is_affordable:
        raise UnknownHash("the password hash would take too long to check")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
