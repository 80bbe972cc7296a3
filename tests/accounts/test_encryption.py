"""Secrets in the database are encrypted with the keys of ENCRYPTION_KEYS or of the file in DATA_DIR."""

import base64
import fcntl
import os
import secrets
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts import encryption, private_files
from accounts.encryption import CannotDecrypt, UnusableKeys


@pytest.fixture
def file(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.ENCRYPTION_KEYS = tmp_path, []
    return tmp_path / "encryption_keys"


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def test_a_secret_can_be_decrypted_where_it_belongs_and_nowhere_else(file: Path) -> None:
    stored = encryption.encrypt(b"secret", bound_to=b"ana")
    assert encryption.decrypt(stored, bound_to=b"ana") == b"secret"
    assert b"secret" not in stored
    for changed, bound_to in ((stored, b"bruno"), (stored[:-1] + bytes([stored[-1] ^ 1]), b"ana"), (b"", b"ana")):
        with pytest.raises(CannotDecrypt):
            encryption.decrypt(changed, bound_to=bound_to)


def test_the_file_is_created_once_for_its_owner_alone(file: Path) -> None:
    (key,) = encryption.key_ids()
    assert file.stat().st_mode & 0o777 == 0o600
    assert encryption.key_ids() == [key]
    assert [path.name for path in file.parent.iterdir()] == ["encryption_keys"]


def test_a_new_key_encrypts_and_the_older_one_still_decrypts(file: Path) -> None:
    stored = encryption.encrypt(b"secret", bound_to=b"ana")
    (old,) = encryption.key_ids()
    new = encryption.add_key()
    assert encryption.key_ids() == [new, old]
    assert encryption.key_id(encryption.encrypt(b"other", bound_to=b"ana")) == new
    assert encryption.decrypt(stored, bound_to=b"ana") == b"secret"
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_folder_is_locked_between_reading_and_replacing_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes that read the same keys and each add one would lose the first of the two."""
    encryption.ensure_key()
    replace, is_locked = private_files.replace, []

    def look_at_the_lock(path: Path, content: bytes) -> None:
        other = os.open(file.parent, os.O_RDONLY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_locked.append(True)
        finally:
            os.close(other)
        replace(path, content)

    monkeypatch.setattr(private_files, "replace", look_at_the_lock)
    encryption.add_key()
    encryption.add_key()
    assert is_locked == [True, True]
    assert len(encryption.key_ids()) == 3


def test_the_keys_of_the_environment_need_no_file(file: Path, settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = [new_key(), new_key()]
    stored = encryption.encrypt(b"secret", bound_to=b"ana")
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[::-1]
    assert encryption.decrypt(stored, bound_to=b"ana") == b"secret"
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    with pytest.raises(CannotDecrypt):
        encryption.decrypt(stored, bound_to=b"ana")
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b" , \n", b"no base64!", base64.b64encode(b"short"), base64.b64encode(bytes(32)) + b",x", b"\xff\xfe"],
)
def test_a_file_with_anything_else_is_unusable_and_stays_as_it_is(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    for use in (encryption.ensure_key, encryption.add_key, lambda: encryption.encrypt(b"secret", bound_to=b"ana")):
        with pytest.raises(UnusableKeys) as error:
            use()
        assert str(error.value) == f"{file} cannot be used: write keys of 32 bytes in base64, separated by commas."
    assert file.read_bytes() == content
