"""Says whom a mail server's refusal is about: the one email, or us, who would be refused with every other email, too.

By the step at which it came, the code (RFC 5321) and the enhanced code (RFC 3463 and its registry at IANA). Where these
leave it open, as 550 and 5.7.1 do, by the words.
"""

import re
import smtplib
import ssl
from enum import Enum
from typing import NamedTuple


class Scope(Enum):
    """What follows from a refusal."""

    LATER = "later"  # this email is tried again
    EMAIL = "email"  # this email will never be taken
    MAYBE_US = "maybe us"  # about us by its words, but said of one recipient or one text
    US = "us"  # said before any recipient was named


class Answer(NamedTuple):
    code: int
    words: str

    def __str__(self) -> str:
        return f"{self.code} {self.words}"


CODES_ABOUT_US = {500, 502, 503, 504, 521, 530, 534, 535, 538, 555}
TEMPORARY_ABOUT_US = {"4.7.8", "4.7.10", "4.7.25"}
HANGING_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_ENHANCED = re.compile(r"\s*([45])\.(\d{1,3})\.(\d{1,3})\b", re.ASCII)
# Postfix, Exim, Exchange, sendmail, qmail and the large providers, about client, greeting, sender, relay and login.
_ABOUT_US = re.compile(
    r"\brelay|client host|\b(helo|ehlo)\b|blocked using|block ?list|black ?list|rcpthosts|reverse (dns|host)|\bptr\b"
    r"|\b(spf|dkim|dmarc)\b|unauthenticated|authentication (is )?required|must (be )?authenticate|not authenticated"
    r"|sender (address )?(rejected|denied|verify)|not (allowed|permitted|authori[sz]ed) to send|starttls|sender domain",
    re.IGNORECASE,
)
_ABOUT_RECIPIENT = re.compile(r"recipient|user unknown|unknown user|no such user|mailbox", re.IGNORECASE)


def answer(fault: Exception) -> Answer | None:
    """What the server said, on one line; None if the fault is no answer."""
    code: int
    text: bytes | str
    if isinstance(fault, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(fault.recipients.values()))
    elif isinstance(fault, smtplib.SMTPResponseException):
        code, text = fault.smtp_code, fault.smtp_error
    else:
        return None
    return Answer(code, text.decode(errors="replace") if isinstance(text, bytes) else text)


def scope(fault: Exception) -> Scope:
    """Whom it is about. What is no answer, such as a server that is away, is tried again."""
    said = answer(fault)
    if isinstance(fault, ssl.SSLError | smtplib.SMTPNotSupportedError):
        return Scope.LATER if isinstance(fault, HANGING_UP) else Scope.US
    if said is None or said.code < 400:
        return Scope.LATER
    is_of_one = isinstance(fault, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError)
    if said.code < 500:
        return _maybe(is_of_one) if _is_temporary_about_us(said) else Scope.LATER
    if isinstance(fault, smtplib.SMTPSenderRefused):
        return Scope.EMAIL if _is_too_large(said) else Scope.US
    if not is_of_one:
        return Scope.US
    return _maybe(is_of_one) if _is_about_us(said, isinstance(fault, smtplib.SMTPDataError)) else Scope.EMAIL


def _maybe(is_of_one: bool) -> Scope:
    return Scope.MAYBE_US if is_of_one else Scope.US


def _is_temporary_about_us(said: Answer) -> bool:
    enhanced = _ENHANCED.match(said.words)
    return bool((enhanced and ".".join(enhanced.groups()) in TEMPORARY_ABOUT_US) or _ABOUT_US.search(said.words))


def _is_too_large(said: Answer) -> bool:
    return said.code == 552 or said.words.lstrip().startswith(("5.2.3", "5.3.4"))


def _is_about_us(said: Answer, is_after_text: bool) -> bool:
    enhanced = _ENHANCED.match(said.words)
    subject, detail = (int(enhanced[2]), int(enhanced[3])) if enhanced else (0, 0)
    known = True if said.code in CODES_ABOUT_US else _by_enhanced_code(subject, detail)
    if known is not None:
        return known
    if _ABOUT_US.search(said.words):
        return True
    # 5.7.1 and 554 without a word that helps: of a text it is the filter's, of a recipient whom we may not send to.
    is_policy = subject == 7 or (not enhanced and said.code == 554)
    return is_policy and not is_after_text and not _ABOUT_RECIPIENT.search(said.words)


def _by_enhanced_code(subject: int, detail: int) -> bool | None:
    """None where it leaves the question open."""
    match subject, detail:
        case (
            (1, 7) | (1, 8) | (3, 2) | (3, 5)
        ):  # the sender's address; a server that takes nothing, or is misconfigured
            return True
        case 0 | 7, 0 | 1 | 2:
            return None
        case 5 | 7, _:  # the protocol; encryption, login, and what SPF, DKIM and the like say of us
            return True
        case _, 0:
            return None
    return False  # the recipient's address, mailbox or route, or the content
