"""Validators for a user's name and the reason of a suspension: one line without control characters."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

NAME_MAX_LENGTH = 150
REASON_MAX_LENGTH = 250
FACTOR_NAME_MAX_LENGTH = 64
# Control characters, line ends, lone surrogates, and marks that reverse the direction of the text after them.
# str.isprintable() rejects more: Persian names and emoji need joiners, and pasted names may have a no-break space.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def validate_name(name: str) -> None:
    """Raises Django's ValidationError if a name has forbidden characters."""
    if _FORBIDDEN.search(name):
        raise ValidationError(_("Names can't contain control characters."), code="invalid")


def validate_reason(reason: str) -> None:
    """Raises Django's ValidationError if a reason has forbidden characters."""
    if _FORBIDDEN.search(reason):
        raise ValidationError(_("Reasons can't contain control characters."), code="invalid")
