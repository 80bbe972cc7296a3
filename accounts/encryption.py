"""Encrypts secrets that the database must keep, such as those of authenticator apps, with AES-256-GCM.

The keys are those of ENCRYPTION_KEYS or, on one machine, of the file DATA_DIR/encryption_keys. The first encrypts, all
decrypt. Each stored secret names its key and is bound to its row: a copy in another row can't be decrypted.
"""

import base64
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from accounts import private_files

KEY_BYTES = 32
VERSION = 1
KEY_ID_BYTES = 4
NONCE_BYTES = 12
_HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES


class CannotDecrypt(Exception):
    """The secret's key is missing, or the secret was changed or belongs to another row."""


class UnusableKeys(CannotDecrypt):
    """The keys can't be used. The text of the error says in one line what the operator has to write.

    At a login it counts as a secret that can't be decrypted: recovery codes and passkeys still work.
    """


class Key(NamedTuple):
    """A key, and the id by which stored secrets name it: the first bytes of its SHA-256."""

    id: bytes
    cipher: AESGCM


def encrypt(secret: bytes, *, bound_to: bytes) -> bytes:
    """Encrypts the secret with the first key. decrypt() needs the same `bound_to`."""
    key, nonce = read_or_create_keys()[0], secrets.token_bytes(NONCE_BYTES)
    head = bytes([VERSION]) + key.id + nonce
    return head + key.cipher.encrypt(nonce, secret, head + bound_to)


def decrypt(stored: bytes, *, bound_to: bytes) -> bytes:
    """Returns the secret. Raises CannotDecrypt."""
    head = stored[:_HEAD_BYTES]
    key = next((key for key in read_or_create_keys() if key.id == key_id(stored)), None)
    if key is None or head[:1] != bytes([VERSION]):
        raise CannotDecrypt("no key of ENCRYPTION_KEYS has encrypted it")
    try:
        return key.cipher.decrypt(head[-NONCE_BYTES:], stored[_HEAD_BYTES:], head + bound_to)
    except (InvalidTag, ValueError) as error:  # ValueError: it was cut off
        raise CannotDecrypt("it was changed, or moved to another row") from error


def key_id(stored: bytes) -> bytes:
    """Returns the id of the key that a stored secret names."""
    return stored[1 : 1 + KEY_ID_BYTES]


def read_or_create_keys() -> Sequence[Key]:
    """Returns the keys. The first one encrypts. Creates the file if it is needed and there is none.

    Reads the file each time, so that all processes use a new key at once. That takes less time than to check a code.
    Raises UnusableKeys.
    """
    return [_key(text) for text in settings.ENCRYPTION_KEYS or _file_keys()]


def key_ids() -> list[bytes]:
    """Returns the ids of the keys. The first key encrypts. Creates the file of keys if there is none."""
    return [key.id for key in read_or_create_keys()]


def ensure_key() -> None:
    """Creates the file of keys if it is needed and there is none. Raises UnusableKeys."""
    read_or_create_keys()


def location() -> str:
    """Returns where the keys are: the name of the variable, or the path of the file."""
    return str(_path()) if uses_file() else "ENCRYPTION_KEYS"


def add_key() -> bytes:
    """Puts a new key first into the file and returns its id. Call it only if uses_file()."""
    ensure_key()
    with _only_one_change():
        texts = [_new_key(), *_file_keys()]
        private_files.replace(_path(), _content(texts))
    return _key(texts[0]).id


def uses_file() -> bool:
    """Returns whether the keys are in the file and not in ENCRYPTION_KEYS."""
    return not settings.ENCRYPTION_KEYS


def _key(text: str) -> Key:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:  # its own text could contain a part of the key
        key = b""
    if len(key) != KEY_BYTES:
        raise _unusable() from None
    return Key(hashlib.sha256(key).digest()[:KEY_ID_BYTES], AESGCM(key))


def _file_keys() -> list[str]:
    path = _path()
    private_files.create_once(path, _content([_new_key()]))
    try:
        texts = [part.strip() for part in path.read_text(encoding="ascii").split(",") if part.strip()]
    except (OSError, UnicodeDecodeError):
        raise _unusable() from None
    if not texts:
        raise _unusable()
    return texts


def _unusable() -> UnusableKeys:
    return UnusableKeys(f"{location()} cannot be used: write keys of {KEY_BYTES} bytes in base64, separated by commas.")


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")


def _content(texts: Sequence[str]) -> bytes:
    return (",".join(texts) + "\n").encode("ascii")


@contextmanager
def _only_one_change() -> Iterator[None]:
    """Waits until no other process changes the file. Otherwise two that add a key at once would lose one key."""
    handle = os.open(settings.DATA_DIR, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _path() -> Path:
    return Path(settings.DATA_DIR) / "encryption_keys"
