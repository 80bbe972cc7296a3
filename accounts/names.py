"""What a person's name and the reason of a suspension may hold: anything that is written on one line."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MAX_LENGTH = 150
REASON_LENGTH = 250
# Control characters, ends of lines, half surrogate pairs, and marks that turn round how the text after them is read.
# Not all that str.isprintable() leaves out: names of Iran and emoji need joiners, and a pasted one a no-break space.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def validate(name: str) -> None:
    """A Django validator: raises ValidationError when the text is no name."""
    if _REFUSED.search(name):
        raise ValidationError(_("A name has no control characters."), code="invalid")


def validate_reason(reason: str) -> None:
    """A Django validator: raises ValidationError when the text is not on one line."""
    if _REFUSED.search(reason):
        raise ValidationError(_("A reason has no control characters."), code="invalid")
