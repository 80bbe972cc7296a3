"""A password is hashed to its last character, and the time of a rejection doesn't reveal the kind of its hash."""

import unicodedata
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher, ScryptPasswordHasher
from pytest_django import Settings

from accounts.errors import Overloaded
from accounts.hashing import hashers, limiter
from accounts.models import User
from tests.conftest import PASSWORD

LONG = "x" * 72


def imported(password: str, *, cost: int = 4, prefix: bytes = b"2b") -> str:
    """Returns a plain bcrypt hash, as another system makes it."""
    made = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost, b"2b"))
    return "bcrypt$" + made.replace(b"$2b$", b"$" + prefix + b"$", 1).decode()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Counts the bcrypt hashes by cost."""
    done: Counter[int] = Counter()
    real = bcrypt.hashpw

    def counted(password: bytes, salt: bytes) -> bytes:
        done[int(salt.split(b"$")[2])] += 1
        return real(password, salt)

    monkeypatch.setattr(bcrypt, "hashpw", counted)
    return done


def verdict(password: str, encoded: str) -> tuple[bool, bool]:
    """Returns whether the password is right, and whether its hash will be replaced."""
    is_right, better = hashers.verify(password, encoded)
    return is_right, bool(better)


def steps(work: Counter[int]) -> int:
    """Returns all that work in steps: a hash of cost n takes 2^n."""
    return sum(2**cost * times for cost, times in work.items())


def test_new_ones_are_bcrypt_over_sha256_with_the_configured_cost(settings: Settings) -> None:
    settings.BCRYPT_ROUNDS = 5
    assert hashers.make(PASSWORD).startswith("bcrypt_sha256$$2b$05$")
    assert hashers.make(PASSWORD) != hashers.make(PASSWORD)


def test_the_right_one_is_right_and_any_other_wrong() -> None:
    encoded = hashers.make(PASSWORD)
    assert verdict(PASSWORD, encoded) == (True, False)
    for wrong in ("", PASSWORD[:-1], PASSWORD.upper(), f"{PASSWORD} ", f" {PASSWORD}", PASSWORD + "\n"):
        assert verdict(wrong, encoded) == (False, False)


def test_each_character_counts_also_after_the_72nd_byte() -> None:
    assert hashers.verify(LONG + "a", hashers.make(LONG + "b"))[0] is False
    assert hashers.verify("é" * 40 + "a", hashers.make("é" * 40 + "b"))[0] is False
    assert hashers.verify("😀" * 128, hashers.make("😀" * 128))[0] is True


def test_spaces_at_the_ends_belong_to_it() -> None:
    assert hashers.verify(f"  {PASSWORD}  ", hashers.make(f"  {PASSWORD}  "))[0] is True
    assert hashers.verify(PASSWORD, hashers.make(f"  {PASSWORD}  "))[0] is False


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_keyboards_may_compose_it_in_different_ways(form: Any) -> None:
    password = "contraseña ﬁnal ½ Å"
    assert hashers.verify(unicodedata.normalize(form, password), hashers.make(password))[0] is True


def test_case_and_accents_count() -> None:
    assert hashers.verify("contrasena larga", hashers.make("contraseña larga"))[0] is False
    assert hashers.verify("Contraseña larga", hashers.make("contraseña larga"))[0] is False


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
def test_an_imported_bcrypt_hash_is_accepted_once(prefix: bytes) -> None:
    encoded = imported(PASSWORD, prefix=prefix)
    assert verdict(PASSWORD, encoded) == (True, True)
    assert verdict(PASSWORD + "x", encoded) == (False, False)


@pytest.mark.parametrize("password", [LONG + "abc", "é" * 36 + "abc", "x" * 71 + "é"])
def test_a_password_is_cut_at_72_bytes_for_an_imported_bcrypt_hash(password: str) -> None:
    encoded = imported(password)
    assert verdict(password, encoded) == (True, True)
    assert hashers.verify(password[:30], encoded)[0] is False


@pytest.mark.parametrize("hasher", [Argon2PasswordHasher, PBKDF2PasswordHasher, ScryptPasswordHasher])
def test_hashes_of_other_kinds_are_accepted_once(hasher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 10)
    monkeypatch.setattr(Argon2PasswordHasher, "memory_cost", 64)
    monkeypatch.setattr(ScryptPasswordHasher, "work_factor", 2)
    encoded = hasher().encode(PASSWORD, "salt" * 6)
    assert verdict(PASSWORD, encoded) == (True, True)
    assert hashers.verify(PASSWORD + "x", encoded)[0] is False


@pytest.mark.parametrize("broken", ["", "!unusable", "x", "md5$a$b", "plain"])
def test_no_password_fits_text_that_is_no_hash(broken: Any) -> None:
    assert verdict(PASSWORD, broken) == (False, False)
    assert verdict("", broken) == (False, False)


def test_a_cost_is_only_ever_raised(ana: User, settings: Settings) -> None:
    def check() -> str:
        assert User.objects.get().check_password(PASSWORD)
        return User.objects.get().password.split("$")[3]

    settings.BCRYPT_ROUNDS = 5
    assert check() == "05"
    settings.BCRYPT_ROUNDS = 4
    assert check() == "05"


def test_an_imported_hash_is_replaced_by_the_first_right_password(ana: User) -> None:
    User.objects.update(password=imported(f"{PASSWORD} é"))
    stored = User.objects.get()
    assert stored.check_password("wrong") is False
    assert User.objects.get().password.startswith("bcrypt$")
    assert stored.check_password(f"{PASSWORD} é") is True
    assert User.objects.get().password.startswith("bcrypt_sha256$")
    assert User.objects.get().check_password(f"{PASSWORD} é") is True


def test_an_imported_hash_of_a_password_as_typed_is_accepted() -> None:
    encoded = imported("clave nº ½")
    assert verdict("clave nº ½", encoded) == (True, True)
    assert verdict("clave no 1⁄2", encoded) == (False, False)


def test_a_password_that_was_replaced_meanwhile_is_not_restored(ana: User) -> None:
    User.objects.update(password=imported(PASSWORD))
    stale = User.objects.get()
    changed = hashers.make("another password")
    User.objects.update(password=changed)
    assert stale.check_password(PASSWORD) is False
    assert User.objects.get().password == changed


def test_no_password_is_right_for_a_user_without_one(ana: User) -> None:
    ana.set_password(None)
    assert ana.has_usable_password() is False
    for guess in (None, "", "None", "!"):
        assert ana.check_password(guess) is False


@pytest.mark.parametrize("cost", [4, 5, 6])
def test_a_wrong_password_takes_as_much_work_for_a_hash_of_lower_cost(
    settings: Settings, work: Counter[int], cost: int
) -> None:
    settings.BCRYPT_ROUNDS = cost
    encoded = hashers.make(PASSWORD)
    work.clear()
    settings.BCRYPT_ROUNDS = 6
    assert hashers.verify("wrong", encoded)[0] is False
    assert steps(work) == 2**6


@pytest.mark.parametrize("cost", [4, 5, 6])
@pytest.mark.parametrize("hasher", [hashers.BCrypt, hashers.WordPressBCrypt])
def test_a_wrong_password_takes_as_much_work_for_an_imported_bcrypt_hash(
    settings: Settings, work: Counter[int], hasher: type[hashers.BCrypt], cost: int
) -> None:
    encoded = hasher().encode(PASSWORD, bcrypt.gensalt(cost))
    work.clear()
    settings.BCRYPT_ROUNDS = 6
    assert hashers.verify("wrong", encoded)[0] is False
    assert steps(work) == 2**6


@pytest.mark.parametrize("nothing", ["", "!unusable"])
def test_a_wrong_password_takes_as_much_work_for_an_unknown_user(
    settings: Settings, work: Counter[int], nothing: str
) -> None:
    settings.BCRYPT_ROUNDS = 6
    assert hashers.verify("wrong", nothing)[0] is False
    assert steps(work) == 2**6


def test_the_right_password_costs_no_more_than_it_must(settings: Settings, work: Counter[int]) -> None:
    encoded = hashers.make(PASSWORD)
    work.clear()
    assert hashers.verify(PASSWORD, encoded)[0] is True
    assert work == {4: 1}


@pytest.mark.parametrize(
    "hashing",
    [
        lambda ana: hashers.make(PASSWORD),
        lambda ana: hashers.verify(PASSWORD, ""),
        lambda ana: ana.set_password(PASSWORD),
        lambda ana: ana.check_password(PASSWORD),
    ],
)
def test_every_hash_goes_through_the_limiter(
    ana: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hashing: Callable[[User], object]
) -> None:
    full = limiter.HashingLimiter(tmp_path, 1, 0)
    monkeypatch.setattr(hashers, "get_limiter", lambda: full)
    with full.slot(), ThreadPoolExecutor(1) as another, pytest.raises(Overloaded):
        another.submit(hashing, ana).result()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.77, 0.97])
@pytest.mark.parametrize("password", ["wrong", "wrong ½"], ids=["one form", "two forms"])
def test_a_wrong_password_takes_as_much_work_for_a_hash_of_another_kind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, share: float, password: str
) -> None:
    """Uses a clock that bcrypt advances by its steps, and the other hash by a share of the steps of a current hash."""
    settings.BCRYPT_ROUNDS = 12
    encoded = PBKDF2PasswordHasher().encode(PASSWORD, "salt" * 6, 1)
    clock = [1.0]

    def hash_for(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr("accounts.hashing.hashers.time.thread_time", lambda: clock[0])
    monkeypatch.setattr(bcrypt, "hashpw", lambda _password, salt: hash_for(2.0 ** (int(salt.split(b"$")[2]) - 12)))
    monkeypatch.setattr(PBKDF2PasswordHasher, "verify", lambda *_arguments: hash_for(share))
    assert hashers.verify(password, encoded)[0] is False
    forms = 1 if password == "wrong" else 2
    assert clock[0] - 1 == pytest.approx(forms, abs=1 / 128)
