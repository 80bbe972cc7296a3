"""Decides whether a password is good enough: length, guessability, common passwords. No rules of composition."""

import math
from threading import Lock

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

from accounts.errors import InvalidInput
from accounts.hashing.hashers import normalized
from accounts.hashing.limiter import get_limiter

MAX_LENGTH = 128  # NIST SP 800-63B-4, section 3.1.1.2, recommends at least 64
MAX_SCORED_LENGTH = 72  # zxcvbn raises above; a long weak password repeats itself within that length
MAX_WORK = 4 * MAX_SCORED_LENGTH**2  # readings times length squared: zxcvbn needs about 40 ms for it
MIN_SCORE = 3  # from 0 to 4; 3 is "safely unguessable: moderate protection from offline slow-hash scenario"

_one_at_a_time = Lock()  # zxcvbn keeps the user's words in a global variable


class LengthValidator:
    """Requires at least PASSWORD_MIN_LENGTH and at most 128 characters."""

    def validate(self, password: str, user: object = None) -> None:
        shortest = settings.PASSWORD_MIN_LENGTH
        if len(password) < shortest:
            raise ValidationError(self._too_short(), code="password_too_short", params={"count": shortest})
        if len(password) > MAX_LENGTH:
            message = _("Use a password of at most %(count)d characters.")
            raise ValidationError(message, code="password_too_long", params={"count": MAX_LENGTH})

    def get_help_text(self) -> str:
        return str(self._too_short() % {"count": settings.PASSWORD_MIN_LENGTH})

    @staticmethod
    def _too_short() -> str:
        return ngettext_lazy(
            "Use a password of at least %(count)d character.",
            "Use a password of at least %(count)d characters.",
            "count",
        )  # type: ignore[return-value]


class StrengthValidator:
    """Requires that zxcvbn needs at least 10^8 guesses, given the user's address and name."""

    def validate(self, password: str, user: object = None) -> None:
        words = [str(getattr(user, name, "")) for name in ("email", "full_name")]
        parts = [part for word in words for part in word.replace("@", " ").replace(".", " ").split()]
        with _one_at_a_time:
            judgement = zxcvbn(_beginning(password), user_inputs=[*words, *parts])
        if judgement["score"] < MIN_SCORE:
            message = _("This password is too easy to guess. A few unusual words in a row make a good one.")
            raise ValidationError(message, code="password_too_weak")

    def get_help_text(self) -> str:
        return str(_("A few unusual words in a row make a good one."))


def _beginning(password: str) -> str:
    """Returns as much of the password as zxcvbn scores quickly.

    zxcvbn looks up each reading of 4@8({[<3691! separately, which can take seconds. Only a password with many of these
    characters is cut below 72 characters, and its beginning is strong already unless it is a keyboard pattern.
    """
    beginning = password[:MAX_SCORED_LENGTH]
    while _readings(beginning) * len(beginning) ** 2 > MAX_WORK:
        beginning = beginning[:-1]
    return beginning


def _readings(text: str) -> int:
    """Estimates in how many ways the digits and signs of the text can stand for letters."""
    return math.prod(max(1, len(set(signs) & set(text))) for signs in L33T_TABLE.values())


def advice() -> str:
    """Returns what a user should know before they choose a password."""
    return " ".join([LengthValidator().get_help_text(), StrengthValidator().get_help_text()])


def validate(password: str, user: object, *, field: str) -> None:
    """Raises InvalidInput with the field's name if the password is not good enough for this user; or Overloaded.

    Checks the form that is hashed. zxcvbn needs up to 50 ms, so it runs in a slot like a hash.
    """
    try:
        get_limiter().run(validate_password, normalized(password), user)
    except ValidationError as invalid:
        errors = [(field, error.code or "invalid", " ".join(error.messages)) for error in invalid.error_list]
        raise InvalidInput.of(errors) from invalid  # type: ignore[arg-type]
