"""Diagnoses SMTP: sends a test email, and explains an error by the setting to look at."""

import re
import smtplib
import socket
import ssl

from django.conf import settings
from django.core.mail import EmailMessage

from notifications.sending import smtp, smtp_errors

SUBJECT = "Test email from UserManager"
SENT = {
    "smtp": "The mail server accepted the email. If it does not arrive, check the spam folder, SPF, DKIM and DMARC.",
    "mail_folder": "The email was written to a file in {folder} and not sent: EMAIL_URL names no mail server.",
    "console": "The email was printed above and not sent: EMAIL_URL names no mail server.",
}
TEXT = "If you can read this, UserManager can send emails with its current settings.\n"

# Hints by the server's reply; the first pattern that matches counts. The SMTP step is ignored: the code says more.
REPLY_HINTS = (
    (r"53[08] .*TLS", "{place} requires encryption: use smtp+tls:// (STARTTLS) in EMAIL_URL. {said}"),
    (
        r"530 ",
        "{place} requires a login: set a user and a password in EMAIL_URL, smtp+tls://user:password@host. {said}",
    ),
    (r"53[458] ", "{place} rejects the user or the password in EMAIL_URL, or the authentication method. {said}"),
    (
        r"[45]\d\d .*\b(helo|ehlo)\b",
        "{place} rejects the EHLO name {ehlo}: set EMAIL_EHLO_NAME to this machine's name. {said}",
    ),
    (
        r"[45]\d\d .*(client host|blocked using|reverse (dns|host))",
        "{place} accepts no email from this machine's IP address: check its PTR record and block lists. {said}",
    ),
    (r"[45]\d\d .*\bsender\b", "{place} rejects the sender {sender}: check EMAIL_FROM. {said}"),
    (
        r"5\d\d .*\brelay",
        "{place} relays emails only after a login: set a user in EMAIL_URL. {said}",
    ),
    (
        r"4\d\d ",
        "{place} accepts no email now: try again later. Emails of the outbox are retried automatically. {said}",
    ),
)
# Hints by the error's class, if no pattern matches; {words} is the server's reply or the error's text.
ERROR_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (
        smtplib.SMTPNotSupportedError,
        "{place} does not support what EMAIL_URL requires ({words}): try smtp+tls:// or smtp://.",
    ),
    (smtplib.SMTPConnectError, "{place} rejects connections: {words}"),
    (smtplib.SMTPAuthenticationError, "{place} rejects the user or the password in EMAIL_URL: {words}"),
    (smtplib.SMTPSenderRefused, "{place} rejects the sender {sender}: check EMAIL_FROM. It said: {words}"),
    (smtplib.SMTPRecipientsRefused, "{place} rejects the recipient: {words}"),
    (
        smtplib.SMTPServerDisconnected,
        "{place} closed the connection ({words}). Is it a mail server? Does it require smtp+ssl://?",
    ),
    (smtplib.SMTPResponseException, "{place} rejects the email: {words}"),
    (smtplib.SMTPException, "{place} does not follow the SMTP protocol: {words}"),
    (socket.gaierror, "The host {host} does not exist: check the host in EMAIL_URL."),
    (
        ConnectionRefusedError,
        "No server listens at {place}: check the host and port in EMAIL_URL. Is the mail server running?",
    ),
    (
        TimeoutError,
        "{place} does not answer. Is the port right? Does a firewall block it? Does it require smtp+ssl://?",
    ),
    (ssl.SSLCertVerificationError, "The certificate of {place} is not trusted: {words}"),
    (ssl.SSLError, "{place} does not start with TLS: use smtp+tls:// (STARTTLS) in EMAIL_URL."),
    (OSError, "The email could not be sent: {words}"),
)


class TestFailed(Exception):
    """The test email was not sent. The text says why, and which setting to check."""


def send_test(address: str) -> str:
    """Sends a test email; returns a sentence that says where it went. Raises TestFailed."""
    try:
        EmailMessage(SUBJECT, TEXT, to=[address], connection=smtp.backend()).send()
    except (smtplib.SMTPException, OSError) as error:
        raise TestFailed(explain(error)) from error
    folder = getattr(settings, "EMAIL_FILE_PATH", "")  # Django has no such setting unless EMAIL_URL names a folder
    return SENT.get(settings.EMAIL_BACKEND.split(".")[-2], SENT["smtp"]).format(folder=folder)


def explain(error: Exception) -> str:
    """Returns what an operator can do about an error of the mail server or the connection."""
    if isinstance(error, smtplib.SMTPServerDisconnected) and isinstance(error.__context__, TimeoutError):
        error = error.__context__  # this side closed the connection
    reply = str(smtp_errors.reply_of(error) or "")
    by_reply = (hint for pattern, hint in REPLY_HINTS if re.match(pattern, reply, re.IGNORECASE | re.DOTALL))
    hint = next(by_reply, "") or next(hint for kind, hint in ERROR_HINTS if isinstance(error, kind))
    host, words = settings.EMAIL_HOST, reply or str(error)
    place, sender = f"{host}:{settings.EMAIL_PORT}", settings.DEFAULT_FROM_EMAIL
    ehlo = settings.EMAIL_EHLO_NAME or socket.getfqdn()
    return hint.format(ehlo=ehlo, place=place, host=host, sender=sender, words=words, said=f"It said: {words}")
