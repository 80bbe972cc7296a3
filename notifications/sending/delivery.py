"""Delivers one email: claims, composes, sends and marks it; the same for the worker and for the relay."""

import logging
import re
import time
import traceback
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import Error, close_old_connections
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts import database_errors, one_time_tokens
from accounts.email_addresses import deliverable
from accounts.models import User
from notifications import metrics, outbox
from notifications.content import composing, kinds
from notifications.models import OutboxMail
from notifications.sending import hold, retries, smtp
from notifications.sending.commit_mode import asynchronous_commit
from notifications.sending.mail_folder import ID_HEADER, KIND_HEADER
from notifications.sending.smtp_errors import Scope

MARKING_TIME = timedelta(seconds=20)  # for marking the email: on SQLite the UPDATE may wait this long for the lock
RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)


class UnexpectedError(Exception):
    """Names the type of an error. Its text may quote a link, and must reach neither the log nor Celery's results."""


def deliver(mail_id: UUID) -> None:
    """Sends the email if it is pending and due and this caller's claim wins, and stores the outcome.

    Must not be called in a transaction: the claim has to be committed before the email goes out. An unexpected error
    reschedules the email, is logged with its place and raised as UnexpectedError. While the database is away nothing is
    raised: the email stays in the outbox, and the next claim comes after the lease.
    """
    try:
        close_old_connections()
        _deliver(mail_id)
    except Exception as error:  # noqa: BLE001 - keeps the text of any error out of the logs
        database_errors.drop_if_read_only(error)
        if database_errors.is_temporary(error):
            log.warning("email %s waits for the database (%s)", mail_id, type(error).__name__)
            return
        name, place = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
        log.error("email %s failed with an unexpected %s in\n%s", mail_id, name, place)
        raise UnexpectedError(name) from None


def _deliver(mail_id: UUID) -> None:
    with asynchronous_commit():  # a power cut repeats the attempt, with or without this commit
        mail = outbox.claim(mail_id)
    if mail is None:
        return
    try:
        if mail.kind not in kinds.KINDS:  # rows outlive a downgrade; the next version may support it
            raise smtp.DeliveryError(gettext_noop("This version does not support this kind of email."))
        content = compose_with_token(mail)
        _require_time(mail)
        smtp.send(message(mail, content))
    except composing.Obsolete as reason:
        outbox.mark_cancelled(mail, str(reason))
        hold.release_probe(mail)
        metrics.count_attempt(mail, "cancelled")
        log.info("email %s (%s) is obsolete: %s", mail.pk, mail.kind, reason)
    except smtp.DeliveryError as error:
        _handle_error(mail, without_secrets(str(error)), error.scope)
    except Exception as error:
        retries.reschedule(mail, type(error).__name__)  # its text could quote the email
        metrics.count_attempt(mail, "postponed")
        raise
    else:
        _mark_sent(mail)
        hold.end_if_probe(mail)
        metrics.count_sent(mail)
        log.info("email %s (%s) was sent, attempt %d", mail.pk, mail.kind, mail.attempts)


def compose_with_token(mail: OutboxMail) -> composing.Content:
    """Composes the email for its recipient, and issues a new token for its link if it has one. Raises Obsolete."""
    user = composing.recipient(mail)
    return composing.compose(mail, user, _issue_token(mail, user) if composing.has_link(mail, user) else "")


def _issue_token(mail: OutboxMail, user: User) -> str:
    """Issues the token, and returns its secret. Raises Obsolete.

    A new password or address, a suspension and a deletion end the user's links and cancel the emails that would bring
    new ones. They lock the user, and so does issuing a token: the row, read after that, tells which of the two came
    first.
    """
    purpose = kinds.KINDS[mail.kind].purpose
    assert purpose
    with asynchronous_commit():  # after a power cut the email is composed again, with a new token
        try:
            secret = one_time_tokens.issue(user, purpose, request=mail.pk, email=composing.address(mail, user))
        except one_time_tokens.Superseded as error:
            raise composing.Obsolete(gettext_noop("A newer email was requested, or the link was used.")) from error
        except User.DoesNotExist as error:
            raise composing.Obsolete(composing.DELETED) from error
        if not outbox.is_claimed(mail):
            raise composing.Obsolete(gettext_noop("The email was cancelled in the meantime."))
    return secret


def _require_time(mail: OutboxMail) -> None:
    """Raises DeliveryError if too little of the lease is left: another sender could claim the email meanwhile."""
    needed = timedelta(seconds=smtp.CONVERSATION_SECONDS) + MARKING_TIME
    if mail.lease_until is None or mail.lease_until - timezone.now() < needed:
        raise smtp.DeliveryError(gettext_noop("Timed out waiting for the database."))


def _mark_sent(mail: OutboxMail) -> None:
    """Marks the email as sent; retries until the lease ends while the database is away, as only this thread knows."""
    while True:
        try:
            outbox.mark_sent(mail)
            return
        except Error as error:
            database_errors.drop_if_read_only(error)
            if mail.lease_until is None or timezone.now() > mail.lease_until:
                raise
            close_old_connections()
            time.sleep(RETRY_SECONDS)


def _handle_error(mail: OutboxMail, reason: str, scope: Scope) -> None:
    """Holds the queue, fails the email or reschedules it.

    An error that may be about the installation holds the queue only if no other email was just sent.
    """
    if scope is Scope.INSTALLATION or (scope is Scope.MAYBE_INSTALLATION and not hold.has_server_taken_another(mail)):
        hold.begin_or_continue(mail, reason)
        metrics.count_attempt(mail, "held")
        return
    settle = outbox.mark_failed if scope is Scope.EMAIL else retries.reschedule
    settle(mail, reason)
    if scope is not Scope.TEMPORARY:  # the server judges single emails, so it accepts this installation
        hold.end_if_probe(mail)
    metrics.count_attempt(mail, "failed" if scope is Scope.EMAIL else "postponed")
    log.warning("email %s (%s) was not sent, attempt %d: %s", mail.pk, mail.kind, mail.attempts, reason)


def message(mail: OutboxMail, content: composing.Content) -> EmailMultiAlternatives:
    """Builds the message, with the same Message-ID on each attempt, by which recipients detect duplicates."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    domain = f"[IPv6:{host}]" if ":" in host else host
    built = EmailMultiAlternatives(
        content.subject,
        content.text,
        to=[deliverable(content.email)],
        headers={
            "Message-ID": f"<{mail.pk}@{domain}>",
            ID_HEADER: str(mail.pk),
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            KIND_HEADER: mail.kind,
        },
    )
    built.attach_alternative(content.html, "text/html")
    return built


def without_secrets(reason: str) -> str:
    """Returns the mail server's text on one line, without secrets of links: spam filters quote links.

    Removes secrets that quoted-printable has broken with a = at the end of a line, too.
    """
    return re.sub(r"token=[\w-]+(= [\w-]+)*", f"token={composing.BLANK}", " ".join(reason.split()))
