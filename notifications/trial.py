"""Sends one mail at once, and says in plain words what the settings lack if it does not go."""

import re
import smtplib
import socket
import ssl

from django.conf import settings
from django.core.mail import EmailMessage

from notifications import mail_server, refusals

SUBJECT = "A test mail of UserManager"
TAKEN = {
    "smtp": "The mail was taken. If it does not come in, look at the spam folder, SPF, DKIM and DMARC.",
    "mail_folder": "The mail is a file in {folder} and went no further: EMAIL_URL names no mail server.",
    "console": "The mail is printed above and went no further: EMAIL_URL names no mail server.",
}
TEXT = "If you can read this, UserManager can send mails with the settings it has.\n"

# What an operator can do about an answer of the server: the first pattern that fits, at whichever step it came, as its
# code says more than the step.
ANSWERS = (
    (r"53[08] .*TLS", "{place} wants the connection encrypted: write smtp+tls:// (STARTTLS) in EMAIL_URL. {said}"),
    (r"530 ", "{place} wants a login: write a user and a password in EMAIL_URL, smtp+tls://user:password@host. {said}"),
    (r"53[458] ", "{place} refuses the user or the password in EMAIL_URL, or how they were given. {said}"),
    (
        r"[45]\d\d .*\b(helo|ehlo)\b",
        "{place} refuses the name {ehlo} that it is greeted with: write this machine's own in EMAIL_EHLO_NAME. {said}",
    ),
    (
        r"[45]\d\d .*(client host|blocked using|reverse (dns|host))",
        "{place} takes no mail from this machine's IP address: look at its PTR record and at block lists. {said}",
    ),
    (r"[45]\d\d .*\bsender\b", "{place} refuses the sender {sender}: look at EMAIL_FROM. {said}"),
    (
        r"5\d\d .*\brelay",
        "{place} passes mails on only for those who log in: name a user in EMAIL_URL. {said}",
    ),
    (
        r"4\d\d ",
        "{place} takes no mail now: try again later; mails of the outbox do so by themselves. {said}",
    ),
)
# About anything else, the first kind that fits; {words} are those of the server or of the fault.
HINTS: tuple[tuple[type[Exception], str], ...] = (
    (smtplib.SMTPNotSupportedError, "{place} cannot do what EMAIL_URL asks for ({words}): try smtp+tls:// or smtp://."),
    (smtplib.SMTPConnectError, "{place} lets nobody in: {words}"),
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


def send(address: str) -> str:
    """Returns where the mail went, in words. Raises Failed."""
    try:
        EmailMessage(SUBJECT, TEXT, to=[address], connection=mail_server.backend()).send()
    except (smtplib.SMTPException, OSError) as fault:
        raise Failed(explain(fault)) from fault
    folder = getattr(settings, "EMAIL_FILE_PATH", "")  # Django has no such setting unless EMAIL_URL names a folder
    return TAKEN.get(settings.EMAIL_BACKEND.split(".")[-2], TAKEN["smtp"]).format(folder=folder)


def explain(fault: Exception) -> str:
    """What an operator can do about a fault of the mail server or on the way there."""
    if isinstance(fault, smtplib.SMTPServerDisconnected) and isinstance(fault.__context__, TimeoutError):
        fault = fault.__context__  # it was we who lost patience
    answer = str(refusals.answer(fault) or "")
    by_answer = (hint for pattern, hint in ANSWERS if re.match(pattern, answer, re.IGNORECASE | re.DOTALL))
    hint = next(by_answer, "") or next(hint for kind, hint in HINTS if isinstance(fault, kind))
    host, words = settings.EMAIL_HOST, answer or str(fault)
    place, sender = f"{host}:{settings.EMAIL_PORT}", settings.DEFAULT_FROM_EMAIL
    ehlo = settings.EMAIL_EHLO_NAME or socket.getfqdn()
    return hint.format(ehlo=ehlo, place=place, host=host, sender=sender, words=words, said=f"It said: {words}")
