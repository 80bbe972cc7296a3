"""A password must be long, and hard to guess even for a person who knows its user."""

import random
import string
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils import translation
from pytest_django import Settings

from accounts.errors import InvalidInput
from accounts.hashing import password_policy
from accounts.models import User

ANA = User(email="ana.garcia@montealto.example", full_name="Ana García Belmonte")


def code_of(password: str, user: User = ANA) -> str | None:
    """Returns the code of the first error."""
    try:
        password_policy.validate(password, user, field="password")
    except InvalidInput as raised:
        return raised.errors[0][1]
    return None


@pytest.mark.parametrize(
    "good",
    [
        "correct horse battery staple",
        "Tr0ub4dor&3x!",
        "  padded with spaces  ",
        "contraseña larga y rara",
        "пароль из многих слов",
        "長い長いパスワードですよ",
        "vq7#kd0Px",
        "the quick brown fox jumps over the lazy dog and then " * 2 + "sleeps",
    ],
)
def test_a_password_that_is_hard_to_guess_is_accepted(good: str) -> None:
    assert code_of(good) is None


@pytest.mark.parametrize(
    "weak",
    ["password", "password123", "12345678", "qwertyuiop", "aaaaaaaaaaaa", "iloveyou", "P@ssw0rd", "abcd1234"],
)
def test_a_password_that_is_easy_to_guess_is_rejected(weak: str) -> None:
    assert code_of(weak) == "password_too_weak"


@pytest.mark.parametrize(
    "own", ["ana.garcia@montealto.example", "montealto", "Montealto1", "anagarcia", "belmonte1", "Ana García Belmonte"]
)
def test_the_user_s_own_name_and_address_are_rejected(own: str) -> None:
    assert code_of(own) is not None
    assert code_of(own + "zq8 kvw") is None


def test_length_is_at_least_the_configured_minimum(settings: Settings) -> None:
    assert code_of("vq7#kd0") == "password_too_short"
    assert code_of("vq7#kd0P") != "password_too_short"
    settings.PASSWORD_MIN_LENGTH = 15
    assert code_of("vq7#kd0Px!m2Lz") == "password_too_short"
    assert code_of("vq7#kd0Px!m2LzQ") is None


def test_length_is_at_most_128_characters_of_any_kind() -> None:
    for kind in ("vq7#kd0P", "щю7эыяфж", "😀馬7🔋釘🐎x馬"):
        assert code_of(kind * 16) is None
        assert code_of(kind * 16 + "x") == "password_too_long"


def test_a_letter_that_is_composed_of_two_counts_once() -> None:
    assert code_of("e\u0301x\u0308q\u0323w\u0308") == "password_too_short"


def test_the_error_names_the_field_in_the_language_of_the_reader() -> None:
    with translation.override("es"), pytest.raises(InvalidInput) as raised:
        password_policy.validate("corta", ANA, field="new_password")
    assert {field for field, _code, _detail in raised.value.errors} == {"new_password"}
    with translation.override("es"):
        assert "8 caracteres" in str(raised.value.errors[0][2])


@pytest.mark.parametrize(
    "odd", ["a" * 128, "0" * 128, "qwerty" * 21, "p4$$w0rd" * 16, "é" * 128, "\x00" * 9, "\ud800" * 9]
)
def test_any_text_can_be_scored(odd: str) -> None:
    assert code_of(odd) == "password_too_weak"


MOST_STEPS = 150_000  # about 50 ms; without the bound there would be millions


def steps_of(work: Callable[[], object]) -> int:
    """Counts the function calls that the score takes. Unlike the time, they are the same on a busy machine."""
    steps = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return steps


def judge(password: str, user: User) -> None:
    """Scores the password on this thread, which counts calls, and not on a thread of the limiter."""
    with suppress(ValidationError):
        validate_password(password, user)


LOOK_ALIKES = "4@8({[<3691!|70$5+%2"  # zxcvbn reads each as one or two letters


@pytest.mark.parametrize(
    "laborious",
    [
        (LOOK_ALIKES * 7)[:128],
        (LOOK_ALIKES * 4)[:72],
        LOOK_ALIKES,
        "31415926535897932384626433832795028841971693993751058209749445923078164062862089" + "0123456789" * 4,
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/" * 3,
        "!@#$%^&*()_+1234567890-=" * 5,
        "password" * 16,
        "4a" * 64,
        "8691|7+" * 18,
        "1234567890!@" * 10,
    ],
)
def test_no_text_takes_much_to_judge(laborious: str) -> None:
    words = " ".join("a" * length for length in range(1, 16))  # zxcvbn finds them everywhere in it
    for name in (laborious, words):
        user = User(email=f"{'a' * 40}@example.com", full_name=name)
        assert 0 < steps_of(partial(judge, laborious, user)) < MOST_STEPS


@pytest.mark.parametrize(
    "good",
    [
        "correct horse battery staple" * 4,
        "1234567890 correct horse battery staple",
        f"{LOOK_ALIKES} correct horse battery staple",
        "c0rr3ct h0r$3 b@773ry $7@p1e [<({ ! | 6 9 2 8",
        "7Kx!2$mQ9[vT@4zL<8pR(6wN|3",
    ],
)
def test_a_long_password_that_is_hard_to_guess_may_have_any_signs(good: str) -> None:
    assert code_of(good) is None


@pytest.mark.parametrize("weak", ["1234567890" * 12, "!@#$%^&*()" * 12, "P@$$w0rd1!" * 12, "4@4@4@4@" * 16])
def test_signs_and_length_alone_make_nothing_strong(weak: str) -> None:
    assert code_of(weak) == "password_too_weak"


@pytest.fixture
def _hasty_threads() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_hasty_threads")
def test_two_at_a_time_are_each_scored_with_the_words_of_their_user() -> None:
    names = [random.Random(number).sample(string.ascii_lowercase * 2, 50) for number in range(4)]
    people = [User(full_name="".join(name)) for name in names] * 20
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda person: code_of(person.full_name, person), people))
    assert set(codes) == {"password_too_weak"}
