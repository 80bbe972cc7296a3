"""The keys of stored secrets: no start without them, a rotation that is killed goes on, and a backup contains them."""

import base64
import json
import secrets
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.usermanager.processes import PROJECT, create_tables, free_port, manage

pytestmark = pytest.mark.process

# Creates users with an authenticator app, and prints the key ids of the secrets that can be decrypted.
ENROL = """
from accounts.models import Role, User
from accounts.mfa import totp
role = Role.objects.get(name="user")
for number in range(9):
    totp.create(User.objects.create(email=f"user{number}@example.com", role=role), name="Phone")
"""
# Kills itself after the new key is in the file, and after one and a half slices.
KILLED = """
import os, signal
from django.core.management import call_command
from accounts import audit, pruning
from accounts.mfa import totp
pruning.BATCH_SIZE, left, reencrypt = 4, [6], totp.reencrypt
def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
def reencrypt_six(row):
    left[0] -= 1
    return reencrypt(row) if left[0] >= 0 else die()
{patch}
call_command("keys", "rotate", "--encryption")
"""


def shell(folder: Path, code: str) -> int:
    return manage("shell", "--command", code, DATA_DIR=str(folder)).returncode


def listed(folder: Path) -> dict[str, int]:
    """Returns how many secrets each encryption key has, in the order of the keys."""
    ended = manage("keys", "list", "--json", DATA_DIR=str(folder))
    assert ended.returncode == 0, ended.stderr
    rows: list[dict[str, Any]] = json.loads(ended.stdout)
    return {row["kid"]: row["secrets"] for row in rows if row["use"] == "encryption"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An installation with nine secrets."""
    create_tables(tmp_path)
    assert shell(tmp_path, ENROL) == 0
    return tmp_path


def test_a_rotation_that_is_killed_goes_on_where_it_was(folder: Path) -> None:
    assert list(listed(folder).values()) == [9]
    assert shell(folder, KILLED.format(patch="audit.record = die")) == -signal.SIGKILL
    assert list(listed(folder).values()) == [0, 9]
    assert shell(folder, KILLED.format(patch="totp.reencrypt = reencrypt_six")) == -signal.SIGKILL
    assert list(listed(folder).values()) == [4, 0, 5]
    resumed = manage("keys", "rotate", "--encryption", "--resume", "--json", DATA_DIR=str(folder))
    assert json.loads(resumed.stdout) == {"kid": next(iter(listed(folder))), "changed": 5, "left": 0}
    assert list(listed(folder).values()) == [9, 0, 0]
    again = manage("keys", "rotate", "--encryption", DATA_DIR=str(folder))
    assert (again.returncode, list(listed(folder).values())) == (0, [9, 0, 0, 0])
    assert (folder / "encryption_keys").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", ["prepare", "serve"])
def test_a_start_without_the_key_of_a_secret_is_rejected(folder: Path, command: str) -> None:
    (kid,) = listed(folder)
    variables = {"DATA_DIR": str(folder), "PORT": str(free_port())}
    other = base64.b64encode(secrets.token_bytes(32)).decode()
    ended = manage(command, cwd=PROJECT, ENCRYPTION_KEYS=other, **variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1] == (
        f"CommandError: ENCRYPTION_KEYS cannot be used: write also the key {kid}, which has encrypted stored "
        "secrets of authenticator apps."
    )
    both = f"{other},{(folder / 'encryption_keys').read_text()}"
    assert manage("prepare", cwd=PROJECT, ENCRYPTION_KEYS=both, **variables).returncode == 0


def test_a_start_with_a_file_of_something_else_is_rejected(folder: Path) -> None:
    file = folder / "encryption_keys"
    file.write_text("nonsense")
    ended = manage("prepare", DATA_DIR=str(folder))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"CommandError: {file} cannot be used: write keys of 32 bytes in base64, separated by commas.\n"
    )
    assert file.read_text() == "nonsense"


def test_a_backup_contains_the_keys(folder: Path) -> None:
    archive = folder / "backup.tar.gz"
    ended = manage("backup", str(archive), DATA_DIR=str(folder))
    assert (ended.returncode, "ENCRYPTION_KEYS" in ended.stdout) == (0, False)
    with tarfile.open(archive) as opened:
        assert opened.getmember("encryption_keys").mode == 0o600
    keys = (folder / "encryption_keys").read_text()
    ended = manage("backup", str(archive), DATA_DIR=str(folder), ENCRYPTION_KEYS=keys)
    assert "It does not contain ENCRYPTION_KEYS, which comes from the environment: keep that, too.\n" in ended.stdout
