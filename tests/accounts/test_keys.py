"""The ring of signing keys: the newest signs, older ones check for as long as anything that they signed lives."""

import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from django.utils import timezone
from pytest_django import Settings

from accounts import access_tokens, keys, login
from accounts.errors import TokenNotValid
from accounts.models import User


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path / "keys"


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], keys.SigningKey]:
    """Makes a key that came into being so long ago."""

    def made(age: timedelta) -> keys.SigningKey:
        with monkeypatch.context() as patch:
            then = timezone.now() - age
            patch.setattr("django.utils.timezone.now", lambda: then)
            return keys.rotate(at_once=True)

    return made


def kids() -> list[str]:
    return [key.kid for key in keys.ring()]


def test_the_first_one_is_made_when_it_is_needed(folder: Path) -> None:
    assert not folder.exists()
    key = keys.signing_key()
    assert kids() == [key.kid]
    assert keys.signing_key().kid == keys.ensure().kid == key.kid
    assert len(list(folder.iterdir())) == 1


def test_only_its_owner_may_read_it(folder: Path) -> None:
    keys.ensure()
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_new_one_signs_from_now_on_and_the_old_one_still_checks(ana: User) -> None:
    session, _refresh = login.open_session(ana)
    old = keys.signing_key()
    token = access_tokens.issue(session)
    new = keys.rotate(at_once=True)
    assert kids() == [new.kid, old.kid]
    assert keys.signing_key().kid == new.kid
    assert access_tokens.check(token) == session
    assert access_tokens.check(access_tokens.issue(session)) == session
    assert [key["kid"] for key in keys.jwks()["keys"]] == [new.kid, old.kid]


def test_a_new_one_is_published_before_it_signs(
    make: Callable[[timedelta], keys.SigningKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that cached the JWKS, which it may for Cache-Control's max-age and longer, would refuse its tokens."""
    old = make(timedelta(days=9))
    new = keys.rotate()
    assert kids() == [new.kid, old.kid]
    assert (keys.state(new), keys.state(old)) == ("pending", "signing")
    assert new.signs_from - new.created_at >= keys.JWKS_MAX_AGE * 2
    assert keys.expires_at(keys.ring(), 0) is keys.expires_at(keys.ring(), 1) is None
    at(new.signs_from - timedelta(seconds=1), monkeypatch)
    assert keys.signing_key() == old
    assert keys.prune() == 0
    at(new.signs_from, monkeypatch)
    assert keys.signing_key() == new
    assert (keys.state(new), keys.state(old)) == ("signing", "retired")
    assert keys.expires_at(keys.ring(), 1) == new.signs_from + timedelta(minutes=15) + keys.CLOCK_SKEW
    at(new.signs_from + timedelta(minutes=15) + keys.CLOCK_SKEW, monkeypatch)
    assert kids() == [new.kid]
    assert keys.prune() == 1


def at(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)


def test_a_clock_that_was_set_back_leaves_a_key_that_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    key = keys.ensure()
    at(key.created_at - timedelta(days=1), monkeypatch)
    assert keys.signing_key() == keys.ensure() == key
    assert kids() == [key.kid]


@pytest.mark.parametrize("rotations", [0, 1])
def test_a_revoked_key_is_replaced_at_once_and_its_tokens_are_refused(ana: User, rotations: int) -> None:
    """By a new one, not by the one before, which may be as old as the reason to change it."""
    keys.ensure()
    for _ in range(rotations):
        keys.rotate(at_once=True)
    pending, revoked = keys.rotate(), keys.signing_key()
    session = login.open_session(ana)[0]
    token = access_tokens.issue(session)
    successor = keys.revoke(revoked)
    assert successor == keys.signing_key()
    assert kids()[:2] == [pending.kid, successor.kid]
    assert revoked.kid not in {key["kid"] for key in keys.jwks()["keys"]}
    with pytest.raises(TokenNotValid):
        access_tokens.check(token)
    assert access_tokens.check(access_tokens.issue(session)) == session


def test_a_revoked_key_that_does_not_sign_goes_alone(make: Callable[[timedelta], keys.SigningKey], ana: User) -> None:
    older, old, signing = make(timedelta(minutes=30)), make(timedelta(minutes=16)), make(timedelta(minutes=9))
    pending = keys.rotate()
    assert keys.revoke(pending) is None
    assert keys.revoke(old) is None
    assert kids() == [signing.kid]
    assert keys.find(older.kid) is None


def test_the_old_one_goes_when_the_last_token_that_it_signed_is_dead(
    make: Callable[[timedelta], keys.SigningKey], settings: Settings
) -> None:
    overlap = settings.ACCESS_TOKEN_LIFETIME + keys.CLOCK_SKEW
    old = make(timedelta(days=9))
    newer = make(overlap - timedelta(seconds=2))
    assert kids() == [newer.kid, old.kid]
    assert keys.prune() == 0
    settings.ACCESS_TOKEN_LIFETIME -= timedelta(seconds=3)
    assert kids() == [newer.kid]
    assert keys.find(old.kid) is None
    assert keys.prune() == 1
    assert keys.prune() == 0
    settings.ACCESS_TOKEN_LIFETIME += timedelta(days=99)
    assert kids() == [newer.kid]


def test_the_one_that_signs_never_goes(make: Callable[[timedelta], keys.SigningKey]) -> None:
    key = make(timedelta(days=3650))
    assert keys.prune() == 0
    assert keys.signing_key().kid == key.kid


def test_a_token_of_a_dead_key_is_refused(
    make: Callable[[timedelta], keys.SigningKey], ana: User, settings: Settings
) -> None:
    make(timedelta(hours=9))
    token = access_tokens.issue(login.open_session(ana)[0])
    make(timedelta(hours=8))
    with pytest.raises(TokenNotValid):
        access_tokens.check(token)


def test_says_when_each_will_be_gone(make: Callable[[timedelta], keys.SigningKey], settings: Settings) -> None:
    make(timedelta(minutes=3))
    new = make(timedelta(minutes=2))
    ring = keys.ring()
    assert keys.expires_at(ring, 0) is None
    assert keys.expires_at(ring, 1) == new.created_at + settings.ACCESS_TOKEN_LIFETIME + keys.CLOCK_SKEW


def test_what_another_process_did_holds_at_once(folder: Path) -> None:
    """A process keeps what it has read; the folder says whether that is still all."""
    first = keys.signing_key()
    second = keys.rotate(at_once=True)
    theirs = next(path for path in folder.iterdir() if second.kid in path.name)
    content = theirs.read_bytes()
    theirs.unlink()
    assert kids() == [first.kid]
    theirs.write_bytes(content)
    assert kids() == [second.kid, first.kid]


def test_a_key_that_is_half_written_is_not_seen(folder: Path) -> None:
    key = keys.signing_key()
    (folder / "20990101T000000000000Z-x.new").write_bytes(b"-----BEGIN")
    assert kids() == [key.kid]


def test_a_key_of_another_kind_is_no_key(folder: Path) -> None:
    folder.mkdir()
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "20260101T000000000000Z-x.pem").write_bytes(pem)
    with pytest.raises(TypeError, match="not an elliptic curve key"):
        keys.ring()


def test_the_published_set_holds_public_halves_alone(folder: Path) -> None:
    key = keys.signing_key()
    (published,) = keys.jwks()["keys"]
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
    """P-256's generator, whose coordinates FIPS 186-4 names; the thumbprint was computed from those by hand."""
    generator = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    assert keys._thumbprint(generator) == "xx0BcA-wMohw8atYDJOe6peGModklG2wRHBlXHMvl0M"
    assert keys.rotate().kid != keys.rotate().kid


def test_no_name_of_a_key_looks_like_an_option_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(ec.derive_private_key(number, ec.SECP256R1()) for number in (73, 74))
    monkeypatch.setattr(ec, "generate_private_key", lambda _curve: next(made))
    assert not keys.rotate().kid.startswith("-")
