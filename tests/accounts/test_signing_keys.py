"""The newest signing key signs. Older ones verify until the last token that they signed has expired."""

import os
import stat
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from django.utils import timezone
from pytest_django import Settings

from accounts import login
from accounts.errors import TokenNotValid
from accounts.jwt import access_tokens, signing_keys
from accounts.mfa import proofs
from accounts.models import User


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path / "keys"


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], signing_keys.SigningKey]:
    """Makes a key of this age."""

    def made(age: timedelta) -> signing_keys.SigningKey:
        with monkeypatch.context() as patch:
            then = timezone.now() - age
            patch.setattr("django.utils.timezone.now", lambda: then)
            return signing_keys.rotate(at_once=True)

    return made


def kids() -> list[str]:
    return [key.kid for key in signing_keys.key_set()]


def test_the_first_one_is_made_when_it_is_needed(folder: Path) -> None:
    assert not folder.exists()
    key = signing_keys.signing_key()
    assert kids() == [key.kid]
    assert signing_keys.signing_key().kid == signing_keys.ensure().kid == key.kid
    assert len(list(folder.iterdir())) == 1


def test_only_its_owner_may_read_it(folder: Path) -> None:
    signing_keys.ensure()
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_new_one_signs_from_now_on_and_the_old_one_still_checks(ana: User) -> None:
    session, _refresh = login.open_session(ana, proofs.PASSWORD)
    old = signing_keys.signing_key()
    token = access_tokens.issue(session)
    new = signing_keys.rotate(at_once=True)
    assert kids() == [new.kid, old.kid]
    assert signing_keys.signing_key().kid == new.kid
    assert access_tokens.find_session(token) == session
    assert access_tokens.find_session(access_tokens.issue(session)) == session
    assert [key["kid"] for key in signing_keys.jwks()["keys"]] == [new.kid, old.kid]


def test_a_new_one_is_published_before_it_signs(
    make: Callable[[timedelta], signing_keys.SigningKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service may cache the JWKS, for the max-age of Cache-Control and longer, and would reject the new tokens."""
    old = make(timedelta(days=9))
    new = signing_keys.rotate()
    assert kids() == [new.kid, old.kid]
    assert (signing_keys.state(new), signing_keys.state(old)) == ("pending", "signing")
    assert new.signs_from - new.created_at >= signing_keys.JWKS_MAX_AGE * 2
    assert (
        signing_keys.expires_at(signing_keys.key_set(), 0) is signing_keys.expires_at(signing_keys.key_set(), 1) is None
    )
    at(new.signs_from - timedelta(seconds=1), monkeypatch)
    assert signing_keys.signing_key() == old
    assert signing_keys.prune() == 0
    at(new.signs_from, monkeypatch)
    assert signing_keys.signing_key() == new
    assert (signing_keys.state(new), signing_keys.state(old)) == ("signing", "retired")
    assert (
        signing_keys.expires_at(signing_keys.key_set(), 1)
        == new.signs_from + timedelta(minutes=15) + signing_keys.CLOCK_SKEW
    )
    at(new.signs_from + timedelta(minutes=15) + signing_keys.CLOCK_SKEW, monkeypatch)
    assert kids() == [new.kid]
    assert signing_keys.prune() == 1


def at(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)


def test_a_clock_that_was_set_back_leaves_a_key_that_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    key = signing_keys.ensure()
    at(key.created_at - timedelta(days=1), monkeypatch)
    assert signing_keys.signing_key() == signing_keys.ensure() == key
    assert kids() == [key.kid]


@pytest.mark.parametrize("rotations", [0, 1])
def test_a_revoked_key_is_replaced_at_once_and_its_tokens_are_rejected(ana: User, rotations: int) -> None:
    """A new key replaces it, not the previous one, which may be as old as the leak."""
    signing_keys.ensure()
    for _ in range(rotations):
        signing_keys.rotate(at_once=True)
    pending, revoked = signing_keys.rotate(), signing_keys.signing_key()
    session = login.open_session(ana, proofs.PASSWORD)[0]
    token = access_tokens.issue(session)
    successor = signing_keys.revoke(revoked)
    assert successor == signing_keys.signing_key()
    assert kids()[:2] == [pending.kid, successor.kid]
    assert revoked.kid not in {key["kid"] for key in signing_keys.jwks()["keys"]}
    with pytest.raises(TokenNotValid):
        access_tokens.find_session(token)
    assert access_tokens.find_session(access_tokens.issue(session)) == session


def test_a_revoked_key_that_does_not_sign_goes_alone(
    make: Callable[[timedelta], signing_keys.SigningKey], ana: User
) -> None:
    older, old, signing = make(timedelta(minutes=30)), make(timedelta(minutes=16)), make(timedelta(minutes=9))
    pending = signing_keys.rotate()
    assert signing_keys.revoke(pending) is None
    assert signing_keys.revoke(old) is None
    assert kids() == [signing.kid]
    assert signing_keys.find(older.kid) is None


def test_the_old_one_is_removed_when_the_last_token_that_it_signed_has_expired(
    make: Callable[[timedelta], signing_keys.SigningKey], settings: Settings
) -> None:
    overlap = settings.ACCESS_TOKEN_LIFETIME + signing_keys.CLOCK_SKEW
    old = make(timedelta(days=9))
    newer = make(overlap - timedelta(seconds=2))
    assert kids() == [newer.kid, old.kid]
    assert signing_keys.prune() == 0
    settings.ACCESS_TOKEN_LIFETIME -= timedelta(seconds=3)
    assert kids() == [newer.kid]
    assert signing_keys.find(old.kid) is None
    assert signing_keys.prune() == 1
    assert signing_keys.prune() == 0
    settings.ACCESS_TOKEN_LIFETIME += timedelta(days=99)
    assert kids() == [newer.kid]


def test_the_one_that_signs_is_never_removed(make: Callable[[timedelta], signing_keys.SigningKey]) -> None:
    key = make(timedelta(days=3650))
    assert signing_keys.prune() == 0
    assert signing_keys.signing_key().kid == key.kid


def test_a_token_of_a_removed_key_is_rejected(
    make: Callable[[timedelta], signing_keys.SigningKey], ana: User, settings: Settings
) -> None:
    make(timedelta(hours=9))
    token = access_tokens.issue(login.open_session(ana, proofs.PASSWORD)[0])
    make(timedelta(hours=8))
    with pytest.raises(TokenNotValid):
        access_tokens.find_session(token)


def test_says_when_each_will_be_removed(
    make: Callable[[timedelta], signing_keys.SigningKey], settings: Settings
) -> None:
    make(timedelta(minutes=3))
    new = make(timedelta(minutes=2))
    key_set = signing_keys.key_set()
    assert signing_keys.expires_at(key_set, 0) is None
    assert (
        signing_keys.expires_at(key_set, 1) == new.created_at + settings.ACCESS_TOKEN_LIFETIME + signing_keys.CLOCK_SKEW
    )


def test_changes_of_another_process_take_effect_at_once(folder: Path) -> None:
    """A process caches the keys that it has read, and compares the folder at each request."""
    first = signing_keys.signing_key()
    second = signing_keys.rotate(at_once=True)
    theirs = next(path for path in folder.iterdir() if second.kid in path.name)
    content = theirs.read_bytes()
    theirs.unlink()
    assert kids() == [first.kid]
    theirs.write_bytes(content)
    assert kids() == [second.kid, first.kid]


def test_no_change_is_missed_however_soon_it_follows_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems store times in steps of two seconds, so the folder may show the same time after a change."""
    first, second = signing_keys.signing_key(), signing_keys.rotate(at_once=True)
    theirs = next(path for path in folder.iterdir() if second.kid in path.name)
    monkeypatch.setattr(signing_keys, "_folder_status", lambda: in_steps_of_two_seconds(folder.stat()))
    for _ in range(100):
        assert kids() == [second.kid, first.kid]
        theirs.rename(folder / "aside")
        assert kids() == [first.kid]
        (folder / "aside").rename(theirs)


def in_steps_of_two_seconds(status: os.stat_result) -> SimpleNamespace:
    step = 2 * 10**9
    return SimpleNamespace(st_dev=status.st_dev, st_ino=status.st_ino, st_ctime_ns=status.st_ctime_ns // step * step)


def test_a_folder_that_did_not_change_is_not_listed_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = signing_keys.signing_key(), signing_keys.rotate(at_once=True)
    settle(monkeypatch)
    assert kids() == [second.kid, first.kid]
    with monkeypatch.context() as patch:
        patch.setattr("os.listdir", lambda _folder: pytest.fail("the folder was listed"))
        assert kids() == [second.kid, first.kid]
        assert signing_keys.find_by_header(first.header) == first
        assert signing_keys.find_by_header(first.header + "=") is None
    next(path for path in folder.iterdir() if second.kid in path.name).unlink()
    assert kids() == [first.kid]
    settle(monkeypatch)
    assert kids() == [first.kid]
    folder.rename(folder.with_name("before"))
    new = signing_keys.signing_key()
    assert new != first
    assert kids() == [new.kid]


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the folder be as old as it must be for its time to tell of each change."""
    time.sleep(0.05)
    later = time.time_ns() + 10**10
    monkeypatch.setattr("time.time_ns", lambda: later)


def test_a_key_that_is_half_written_is_not_seen(folder: Path) -> None:
    key = signing_keys.signing_key()
    (folder / ".20990101T000000000000Z-x.pem-5sx1").write_bytes(b"-----BEGIN")
    assert kids() == [key.kid]


@pytest.mark.parametrize("private", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())])
def test_a_key_of_another_kind_is_no_key(folder: Path, private: Any) -> None:
    folder.mkdir()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "20260101T000000000000Z-x.pem").write_bytes(pem)
    with pytest.raises(TypeError, match="not an elliptic curve key"):
        signing_keys.key_set()


def test_the_published_set_holds_public_halves_alone(folder: Path) -> None:
    key = signing_keys.signing_key()
    (published,) = signing_keys.jwks()["keys"]
    assert published == {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
        "kid": key.kid,
        "x": published["x"],
        "y": published["y"],
    }
    (path,) = folder.iterdir()
    private = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == key.public


def test_the_name_of_a_key_follows_from_the_key() -> None:
    """FIPS 186-4 states the coordinates of P-256's generator. Its thumbprint was computed from these by hand."""
    generator = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    assert signing_keys._thumbprint(generator) == "xx0BcA-wMohw8atYDJOe6peGModklG2wRHBlXHMvl0M"
    assert signing_keys.rotate().kid != signing_keys.rotate().kid


def test_no_name_of_a_key_looks_like_an_option_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(ec.derive_private_key(number, ec.SECP256R1()) for number in (73, 74))
    monkeypatch.setattr(ec, "generate_private_key", lambda _curve: next(made))
    assert not signing_keys.rotate().kid.startswith("-")
