"""Email addresses. Two spellings are the same address if canonical_email() returns the same key for both."""

import re
from functools import lru_cache

import idna
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

ADDRESS_LENGTH = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets
LOCAL_PART_LENGTH = 64
_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_TOP_LEVEL = re.compile(r"(?!\d+$)[a-z0-9-]{2,}", re.ASCII)


def canonical_email(address: str) -> str:
    """Returns the key of an address: ASCII local part in lower case, domain in IDNA form (UTS 46, non-transitional).

    `lower()` of the whole address, or the database's `iexact`, would make one of İ, ı, ſ and K equal to an ASCII
    letter. One user could then receive another user's emails.

    Raises ValueError if the text isn't an address that can receive emails.
    """
    local, at, domain = address.rpartition("@")
    local = local.lower() if local.isascii() else ""
    if not at or len(local) > LOCAL_PART_LENGTH or not _LOCAL_PART.fullmatch(local):
        raise ValueError("not an email address")
    key = f"{local}@{_canonical_domain(domain)}"
    if len(key) > ADDRESS_LENGTH or len(address) > ADDRESS_LENGTH:
        raise ValueError("email address too long")
    return key


@lru_cache(maxsize=1024)  # most addresses share few domains, and IDNA takes longer than everything else here
def _canonical_domain(domain: str) -> str:
    try:
        name = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii").lower()
    except UnicodeError as error:  # idna.IDNAError is a subclass
        raise ValueError("not a domain") from error
    labels = name.split(".")
    if len(labels) < 2 or not _TOP_LEVEL.fullmatch(labels[-1]):
        raise ValueError("not a domain with a top level")
    return name


def validate_email(address: str) -> None:
    """Raises Django's ValidationError if the text isn't an email address."""
    try:
        canonical_email(address)
    except ValueError as error:
        raise ValidationError(_("Enter a valid email address."), code="invalid") from error


def deliverable(address: str) -> str:
    """Returns the address for a mail server: the local part as its owner writes it, the domain in ASCII."""
    local, _at, _domain = address.rpartition("@")
    return f"{local}@{canonical_email(address).rpartition('@')[2]}"


def masked(address: str) -> str:
    """Returns the address as emails show it: a…@example.com.

    An attacker may enter `victim+www.evil.test/prize@example.com`, and email clients turn the text before the @ into a
    link. The domain is in its canonical form, because the attacker may have chosen its spelling, too.
    """
    domain = canonical_email(address).rpartition("@")[2]
    return f"{address[0]}…@{idna.decode(domain)}"
