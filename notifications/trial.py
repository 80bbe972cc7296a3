"""Sends one mail at once, and says in plain words what the settings lack if it does not go."""

import smtplib
import socket
import ssl

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

SUBJECT = "A test mail of UserManager"
TEXT = "If you can read this, UserManager can send mails with the settings it has.\n"

# The first kind that fits says what an operator can do; {words} are those of the server or of the fault.
HINTS: tuple[tuple[type[Exception], str], ...] = (
    (smtplib.SMTPNotSupportedError, "{place} cannot do what EMAIL_URL asks for ({words}): try smtp+tls:// or smtp://."),
    (smtplib.SMTPAuthenticationError, "{place} refuses the user or the password in EMAIL_URL: {words}"),
    (smtplib.SMTPSenderRefused, "{place} refuses the sender {sender}: look at EMAIL_FROM. It said: {words}"),
    (smtplib.SMTPRecipientsRefused, "{place} refuses the address: {words}"),
    (smtplib.SMTPServerDisconnected, "{place} hung up ({words}): is it a mail server, or does it want smtp+ssl://?"),
    (smtplib.SMTPResponseException, "{place} refuses the mail: {words}"),
    (smtplib.SMTPException, "{place} and we do not understand each other: {words}"),
    (socket.gaierror, "There is no host of the name {host}: look at the host in EMAIL_URL."),
    (ConnectionRefusedError, "Nothing listens at {place}: look at host and port in EMAIL_URL. Does the server run?"),
    (TimeoutError, "{place} does not answer: is a firewall in between, the port wrong, or does it want smtp+ssl://?"),
    (ssl.SSLCertVerificationError, "The certificate of {place} cannot be trusted: {words}"),
    (ssl.SSLError, "{place} does not speak TLS from the beginning: write smtp+tls:// (STARTTLS) in EMAIL_URL."),
    (OSError, "The mail cannot be handed over: {words}"),
)


class Failed(Exception):
    """The mail did not go; the text says why, and what to look at."""


def send(address: str) -> None:
    """Raises Failed."""
    try:
        EmailMessage(SUBJECT, TEXT, to=[address], connection=get_connection()).send()
    except (smtplib.SMTPException, OSError) as fault:
        raise Failed(explain(fault)) from fault


def explain(fault: Exception) -> str:
    """What an operator can do about a fault of the mail server or on the way there."""
    if isinstance(fault, smtplib.SMTPServerDisconnected) and isinstance(fault.__context__, TimeoutError):
        fault = fault.__context__  # it was we who lost patience
    hint = next(hint for kind, hint in HINTS if isinstance(fault, kind))
    host, sender = settings.EMAIL_HOST, settings.DEFAULT_FROM_EMAIL
    return hint.format(place=f"{host}:{settings.EMAIL_PORT}", host=host, sender=sender, words=_words(fault))


def _words(fault: Exception) -> str:
    if isinstance(fault, smtplib.SMTPRecipientsRefused):
        return _answer(*next(iter(fault.recipients.values())))
    if isinstance(fault, smtplib.SMTPResponseException):
        return _answer(fault.smtp_code, fault.smtp_error)
    return str(fault)


def _answer(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
