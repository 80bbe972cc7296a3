"""An operator rotates the keys that encrypt stored secrets with `manage.py keys rotate --encryption`."""

import base64
import json
import secrets
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from pytest_django import Settings

from accounts import encryption
from accounts.mfa import totp
from accounts.models import AuditEvent, TotpSecret, User
from tests import second_factors

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def file(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.ENCRYPTION_KEYS = tmp_path, []
    return tmp_path / "encryption_keys"


def command(*words: str) -> str:
    """Runs the command. Asserts that it prints no key."""
    out = StringIO()
    try:
        call_command("keys", *words, stdout=out)
    finally:
        file = Path(settings.DATA_DIR, "encryption_keys")
        keys = [*settings.ENCRYPTION_KEYS, *(file.read_text().strip().split(",") if file.exists() else [])]
        assert not [key for key in keys if key in out.getvalue()]
    return out.getvalue()


def listed() -> list[dict[str, Any]]:
    rows = [key for key in json.loads(command("list", "--json")) if key["use"] == "encryption"]
    return [{name: row[name] for name in ("kid", "state", "encrypts", "secrets")} for row in rows]


def key_of(user: User) -> bytes:
    return encryption.key_id(bytes(TotpSecret.objects.get(user=user).secret))


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def test_a_new_key_encrypts_all_secrets_and_the_older_stays(ana: User, bruno: User, file: Path) -> None:
    phones = {user: second_factors.enrol(user) for user in (ana, bruno)}
    (old,) = encryption.key_ids()
    printed = command("rotate", "--encryption")
    new, kept = encryption.key_ids()
    assert (kept, file.stat().st_mode & 0o777) == (old, 0o600)
    assert printed.splitlines() == [
        f"Created the key {new.hex()}. It encrypts from now on.",
        f"Re-encrypted 2 stored secrets with the key {new.hex()}.",
    ]
    for user, phone in phones.items():
        assert key_of(user) == new
        assert totp.find_proof(user, phone.code())
    event = AuditEvent.objects.get(kind="key:rotated")
    assert (event.user_id, event.actor_id, event.data) == (None, None, {"kid": new.hex(), "use": "encryption"})


def test_keys_list_counts_the_secrets_of_each_key(ana: User, bruno: User) -> None:
    second_factors.enrol(ana)
    (old,) = encryption.key_ids()
    encryption.add_key()
    second_factors.enrol(bruno)
    new = encryption.key_ids()[0]
    assert listed() == [
        {"kid": new.hex(), "state": "encrypting", "encrypts": True, "secrets": 1},
        {"kid": old.hex(), "state": "decrypting", "encrypts": False, "secrets": 1},
    ]
    command("rotate", "--encryption", "--resume")
    assert [key["secrets"] for key in listed()] == [2, 0]


def test_keys_list_names_a_missing_key(ana: User, settings: Settings) -> None:
    second_factors.enrol(ana)
    (old,) = encryption.key_ids()
    settings.ENCRYPTION_KEYS = [new_key()]
    assert listed()[1] == {"kid": old.hex(), "state": "missing", "encrypts": False, "secrets": 1}
    assert f"encryption\t{old.hex()}\t\tmissing" in command("list")


def rotations() -> int:
    return AuditEvent.objects.filter(kind="key:rotated").count()


def test_without_secrets_it_creates_a_key() -> None:
    assert command("rotate", "--encryption").splitlines() == [
        f"Created the key {encryption.key_ids()[0].hex()}. It encrypts from now on.",
        "There are no stored secrets to re-encrypt.",
    ]
    assert rotations() == 1


def test_with_keys_in_the_environment_no_key_is_made_and_the_first_is_used(
    ana: User, settings: Settings, file: Path
) -> None:
    settings.ENCRYPTION_KEYS = [new_key(), new_key()]
    second_factors.enrol(ana)
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[::-1]
    first = encryption.key_ids()[0]
    printed = command("rotate", "--encryption")
    assert printed == f"Re-encrypted 1 stored secret with the first key of ENCRYPTION_KEYS, {first.hex()}.\n"
    assert key_of(ana) == first
    assert not file.exists()
    assert AuditEvent.objects.get(kind="key:rotated").data == {"kid": first.hex(), "use": "encryption"}


@pytest.mark.parametrize("words", [(), ("--resume",)])
def test_with_keys_in_the_environment_a_second_rotation_has_nothing_to_do(
    ana: User, settings: Settings, words: tuple[str, ...]
) -> None:
    settings.ENCRYPTION_KEYS = [new_key()]
    second_factors.enrol(ana)
    kid = encryption.key_ids()[0].hex()
    assert command("rotate", "--encryption", *words) == (
        f"Nothing to do: no stored secret has another key than the first key of ENCRYPTION_KEYS, {kid}. "
        "To rotate, write a new key there: see docs/security.md.\n"
    )
    assert json.loads(command("rotate", "--encryption", "--json")) == {"kid": kid, "changed": 0, "left": 0}
    assert not rotations()


def test_resume_makes_no_key(ana: User) -> None:
    second_factors.enrol(ana)
    new = encryption.add_key()
    resume = ("rotate", "--encryption", "--resume")
    assert command(*resume) == f"Re-encrypted 1 stored secret with the key {new.hex()}.\n"
    assert (encryption.key_ids()[0], key_of(ana), rotations()) == (new, new, 1)
    assert command(*resume) == f"Nothing to do: no stored secret has another key than the key {new.hex()}.\n"
    assert rotations() == 1


def test_a_secret_that_cannot_be_decrypted_is_left_and_named(ana: User, bruno: User) -> None:
    for user in (ana, bruno):
        second_factors.enrol(user)
    row = TotpSecret.objects.get(user=ana)
    TotpSecret.objects.filter(user=ana).update(secret=bytes(row.secret)[:-1] + b"?")
    before = key_of(ana)
    with pytest.raises(CommandError) as error:
        command("rotate", "--encryption")
    assert str(error.value) == (
        "Not re-encrypted: 1 stored secret. Run the command again with --resume, because requests may have locked "
        f"them. Those that are left then can't be decrypted, and their users need `users reset-mfa`: {ana.pk}."
    )
    assert error.value.returncode == 1
    assert (key_of(ana), key_of(bruno)) == (before, encryption.key_ids()[0])


@pytest.mark.parametrize("is_in_file", [True, False], ids=["file", "environment"])
def test_a_missing_key_is_to_be_put_back_first(ana: User, settings: Settings, file: Path, is_in_file: bool) -> None:
    second_factors.enrol(ana)
    old, place = key_of(ana).hex(), str(file) if is_in_file else "ENCRYPTION_KEYS"
    if is_in_file:
        file.write_text(new_key())
    else:
        settings.ENCRYPTION_KEYS = [new_key()]
    with pytest.raises(CommandError) as error:
        command("rotate", "--encryption", "--resume")
    assert str(error.value) == (
        f"Not re-encrypted: 1 stored secret. Put the missing key {old} back into {place}, after the first key, and run "
        "the command again with --resume. Only if it is lost for good, their users need `users reset-mfa`: "
        f"{ana.pk}."
    )
    assert (error.value.returncode, rotations()) == (1, 0)


@pytest.mark.parametrize("words", [("rotate", "--encryption", "--now"), ("rotate", "--resume")])
def test_options_that_exclude_each_other_are_wrong_usage(words: tuple[str, ...], file: Path) -> None:
    encryption.ensure_key()
    before = file.read_text()
    with pytest.raises((CommandError, SystemExit)) as error:
        command(*words)
    assert "--" in str(error.value)
    assert file.read_text() == before
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("words", [("list",), ("rotate", "--encryption")])
def test_an_unusable_file_is_an_error_in_one_line(file: Path, words: tuple[str, ...]) -> None:
    file.write_text("nonsense")
    with pytest.raises(CommandError, match=f"^{file} cannot be used: write keys of 32 bytes") as error:
        command(*words)
    assert error.value.returncode == 2
    assert file.read_text() == "nonsense"
    assert not AuditEvent.objects.exists()
