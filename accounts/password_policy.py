"""Which passwords are good enough: length, guessability and the list of common ones; no rules of composition."""

import math
import unicodedata
from threading import Lock

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

from accounts.errors import InvalidInput
from accounts.hashing_gate import gate

MAX_LENGTH = 128  # NIST SP 800-63B-4, section 3.1.1.2, asks for 64 at least
JUDGED_LENGTH = 72  # zxcvbn raises above, and what is that long and weak repeats itself within
JUDGED_WORK = 4 * JUDGED_LENGTH**2  # readings times length squared: what zxcvbn does within some 40 ms
ENOUGH = 3  # of 0 to 4: "safely unguessable: moderate protection from offline slow-hash scenario"

_one_at_a_time = Lock()  # zxcvbn keeps the person's words where the next call finds them


class LengthValidator:
    """At least PASSWORD_MIN_LENGTH characters, at most 128."""

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
    """zxcvbn guesses it in no fewer than 10^8 tries, knowing the person's own words."""

    def validate(self, password: str, user: object = None) -> None:
        words = [str(getattr(user, name, "")) for name in ("email", "full_name")]
        parts = [part for word in words for part in word.replace("@", " ").replace(".", " ").split()]
        with _one_at_a_time:
            judgement = zxcvbn(_beginning(password), user_inputs=[*words, *parts])
        if judgement["score"] < ENOUGH:
            raise ValidationError(self.get_help_text(), code="password_too_weak")

    def get_help_text(self) -> str:
        return str(_("This password is too easy to guess. A few unusual words in a row make a good one."))


def _beginning(password: str) -> str:
    """As much of it as zxcvbn judges soon: it looks up each reading of 4@8({[<3691! by itself, which takes seconds.

    Only what has many such signs is cut below 72 characters, and is strong before that unless it is a walk on the keys.
    """
    beginning = password[:JUDGED_LENGTH]
    while _readings(beginning) * len(beginning) ** 2 > JUDGED_WORK:
        beginning = beginning[:-1]
    return beginning


def _readings(text: str) -> int:
    """In how many ways the digits and signs in it can stand for letters, about."""
    return math.prod(max(1, len(set(signs) & set(text))) for signs in L33T_TABLE.values())


def advice() -> str:
    """What to know before choosing one."""
    return " ".join([LengthValidator().get_help_text(), str(_("A few unusual words in a row make a good one."))])


def check(password: str, user: object, *, field: str) -> None:
    """Raises InvalidInput, naming the field, when the password is not good enough for this user; or Overloaded.

    zxcvbn computes for up to 50 ms, so it takes its turn among the hashes.
    """
    try:
        gate().run(validate_password, unicodedata.normalize("NFKC", password), user)  # as it is hashed
    except ValidationError as refusal:
        faults = [(field, fault.code or "invalid", " ".join(fault.messages)) for fault in refusal.error_list]
        raise InvalidInput.of(faults) from refusal  # type: ignore[arg-type]
