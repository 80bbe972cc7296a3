"""Mail addresses: canonical_email() is the one way in which two spellings are the same address."""

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
    """The key of an address: ASCII local part in lower case, domain in its IDNA form (UTS 46, non-transitional).

    `lower()` of the whole or the database's `iexact` would make one of İ, ı, ſ and K equal to an ASCII letter,
    and let a stranger receive another person's mail.

    Raises ValueError when the text is not an address that mail could be sent to.
    """
    local, at, domain = address.rpartition("@")
    local = local.lower() if local.isascii() else ""
    if not at or len(local) > LOCAL_PART_LENGTH or not _LOCAL_PART.fullmatch(local):
        raise ValueError("not a mail address")
    key = f"{local}@{_canonical_domain(domain)}"
    if len(key) > ADDRESS_LENGTH or len(address) > ADDRESS_LENGTH:
        raise ValueError("mail address too long")
    return key


@lru_cache(maxsize=1024)  # most addresses share few domains, and IDNA takes longer than all the rest
def _canonical_domain(domain: str) -> str:
    try:
        name = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii").lower()
    except UnicodeError as fault:  # idna.IDNAError is one
        raise ValueError("not a domain") from fault
    labels = name.split(".")
    if len(labels) < 2 or not _TOP_LEVEL.fullmatch(labels[-1]):
        raise ValueError("not a domain with a top level")
    return name


def validate_email(address: str) -> None:
    """A Django validator: raises ValidationError when the text is not an address."""
    try:
        canonical_email(address)
    except ValueError as fault:
        raise ValidationError(_("Enter a valid email address."), code="invalid") from fault


def deliverable(address: str) -> str:
    """The address as a mail server wants it: the local part as its owner writes it, the domain in ASCII."""
    local, _at, _domain = address.rpartition("@")
    return f"{local}@{canonical_email(address).rpartition('@')[2]}"


def masked(address: str) -> str:
    """How a text shows an address: a…@example.com.

    A stranger may type `victim+www.evil.test/prize@example.com`, and mail programs make a link of what is
    before the @. The domain is in its canonical form, as the stranger may have spelt that, too.
    """
    domain = canonical_email(address).rpartition("@")[2]
    return f"{address[0]}…@{idna.decode(domain)}"
