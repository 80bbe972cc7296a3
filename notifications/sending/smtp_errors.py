"""Tells SMTP errors about a single email from errors about this installation, which would meet every email.

Decides by the SMTP step, the code (RFC 5321) and the enhanced code (RFC 3463 and its registry at IANA). Where these
leave it open, as 550 and 5.7.1 do, the text decides.
"""

import re
import smtplib
import ssl
from enum import Enum
from typing import NamedTuple


class Scope(Enum):
    """The scope of an error, which decides whether the email fails, waits, or the queue is held."""

    TEMPORARY = "temporary"  # the email is attempted again
    EMAIL = "email"  # the server will never take this email
    MAYBE_INSTALLATION = "maybe installation"  # about the installation by its text, but said of a recipient or an email
    INSTALLATION = "installation"  # said before any recipient was named


class Reply(NamedTuple):
    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


INSTALLATION_CODES = {500, 502, 503, 504, 521, 530, 534, 535, 538, 555}
TEMPORARY_INSTALLATION_CODES = {"4.7.8", "4.7.10", "4.7.25"}
DISCONNECTS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_ENHANCED = re.compile(r"\s*([45])\.(\d{1,3})\.(\d{1,3})\b", re.ASCII)
# Postfix, Exim, Exchange, sendmail, qmail and the large providers, about client, greeting, sender, relay and login.
_ABOUT_INSTALLATION = re.compile(
    r"\brelay|client host|\b(helo|ehlo)\b|blocked using|block ?list|black ?list|rcpthosts|reverse (dns|host)|\bptr\b"
    r"|\b(spf|dkim|dmarc)\b|unauthenticated|authentication (is )?required|must (be )?authenticate|not authenticated"
    r"|sender (address )?(rejected|denied|verify)|not (allowed|permitted|authori[sz]ed) to send|starttls|sender domain",
    re.IGNORECASE,
)
_ABOUT_RECIPIENT = re.compile(r"recipient|user unknown|unknown user|no such user|mailbox", re.IGNORECASE)


def reply_of(error: Exception) -> Reply | None:
    """Returns the server's reply, on one line; None if the error is none, such as a lost connection."""
    code: int
    text: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, text = error.smtp_code, error.smtp_error
    else:
        return None
    return Reply(code, text.decode(errors="replace") if isinstance(text, bytes) else text)


def scope_of(error: Exception) -> Scope:
    """Returns what the error is about. An error without a reply, such as a server that is away, is temporary."""
    reply = reply_of(error)
    if isinstance(error, ssl.SSLError | smtplib.SMTPNotSupportedError):
        return Scope.TEMPORARY if isinstance(error, DISCONNECTS) else Scope.INSTALLATION
    if reply is None or reply.code < 400:
        return Scope.TEMPORARY
    is_of_one = isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError)
    about_installation = Scope.MAYBE_INSTALLATION if is_of_one else Scope.INSTALLATION
    if reply.code < 500:
        return about_installation if _is_temporary_about_installation(reply) else Scope.TEMPORARY
    if isinstance(error, smtplib.SMTPSenderRefused):
        is_too_large = reply.code == 552 or reply.text.lstrip().startswith(("5.2.3", "5.3.4"))
        return Scope.EMAIL if is_too_large else Scope.INSTALLATION
    if not is_of_one:
        return Scope.INSTALLATION
    is_after_data = isinstance(error, smtplib.SMTPDataError)
    return about_installation if _is_about_installation(reply, is_after_data) else Scope.EMAIL


def _is_temporary_about_installation(reply: Reply) -> bool:
    enhanced = _ENHANCED.match(reply.text)
    is_known = enhanced and ".".join(enhanced.groups()) in TEMPORARY_INSTALLATION_CODES
    return bool(is_known or _ABOUT_INSTALLATION.search(reply.text))


def _is_about_installation(reply: Reply, is_after_data: bool) -> bool:
    enhanced = _ENHANCED.match(reply.text)
    subject, detail = (int(enhanced[2]), int(enhanced[3])) if enhanced else (0, 0)
    known = True if reply.code in INSTALLATION_CODES else _by_enhanced_code(subject, detail)
    if known is not None:
        return known
    if _ABOUT_INSTALLATION.search(reply.text):
        return True
    # 5.7.1 or 554 without a telling text: after DATA a filter rejects the email, at RCPT the server rejects the client.
    is_policy = subject == 7 or (not enhanced and reply.code == 554)
    return is_policy and not is_after_data and not _ABOUT_RECIPIENT.search(reply.text)


def _by_enhanced_code(subject: int, detail: int) -> bool | None:
    """Returns whether the code is about the installation; None where it leaves that open."""
    match subject, detail:
        case (1, 7) | (1, 8) | (3, 2) | (3, 5):  # the sender's address; a server that is closed or misconfigured
            return True
        case 0 | 7, 0 | 1 | 2:
            return None
        case 5 | 7, _:  # the protocol; encryption, login, SPF and DKIM
            return True
        case _, 0:
            return None
    return False  # the recipient's address, mailbox or route, or the content
