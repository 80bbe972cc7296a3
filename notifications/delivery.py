"""Delivers one mail: claims, composes, sends, settles; the same function for the worker and for the relay."""

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

from accounts import database_errors
from accounts.addresses import deliverable
from notifications import hold, mail_server, mails, metrics, outbox
from notifications.durability import unsynced
from notifications.mail_folder import ID_HEADER, KIND_HEADER
from notifications.models import OutboxMail
from notifications.refusals import Scope

SETTLING = timedelta(seconds=20)  # a row may wait for its lock as long as SQLite lets it
AGAIN_SECONDS = 0.5

log = logging.getLogger(__name__)


class Unforeseen(Exception):
    """Says of which type a fault was: its own words, which may quote a link, must reach no log and no result."""


def deliver(mail_id: UUID) -> None:
    """Sends the mail if it is owed, due and in nobody else's hands, and writes down how it went.

    Never call it in a transaction: what it writes must stand before the mail goes. Raises Unforeseen, after the mail
    was postponed and the place of the fault logged. While the database is away nothing is raised: the mail stays in
    the outbox, and is taken up when its lease has ended.
    """
    close_old_connections()
    try:
        _deliver(mail_id)
    except Exception as fault:  # noqa: BLE001 - only here is it certain that its words go nowhere
        database_errors.drop_if_read_only(fault)
        if database_errors.is_temporary(fault):
            log.warning("mail %s waits for the database (%s)", mail_id, type(fault).__name__)
            return
        name, place = type(fault).__name__, "".join(traceback.format_tb(fault.__traceback__))
        log.error("mail %s met a fault that nobody foresaw, %s, in\n%s", mail_id, name, place)
        raise Unforeseen(name) from None


def _deliver(mail_id: UUID) -> None:
    with unsynced():  # a power cut before it is settled has it sent again, whether or not this is remembered
        mail = outbox.claim(mail_id)
    if mail is None:
        return
    try:
        if mail.kind not in mails.KINDS:  # rows outlive a downgrade; the next version may know it
            raise mail_server.NotSent(gettext_noop("This version does not know mails of this kind."))
        content = mails.compose(mail)
        _require_time(mail)
        mail_server.send(message(mail, content))
    except mails.NotWanted as reason:
        outbox.settle_cancelled(mail, str(reason))
        hold.try_another(mail)
        metrics.count_try(mail, "cancelled")
        log.info("mail %s (%s) is not wanted any more: %s", mail.pk, mail.kind, reason)
    except mail_server.NotSent as fault:
        _settle_not_sent(mail, without_secrets(str(fault)), fault.scope)
    except Exception as fault:
        outbox.postpone(mail, type(fault).__name__)  # not its text, which could quote the mail
        metrics.count_try(mail, "postponed")
        raise
    else:
        _settle_sent(mail)
        hold.end(mail)
        metrics.count_sent(mail)
        log.info("mail %s (%s) was sent, try %d", mail.pk, mail.kind, mail.attempts)


def _require_time(mail: OutboxMail) -> None:
    """Whoever takes the mail over must not meet us: while we waited for the database, our lease ran. Raises NotSent."""
    needed = timedelta(seconds=mail_server.CONVERSATION_SECONDS) + SETTLING
    if mail.lease_until is None or mail.lease_until - timezone.now() < needed:
        raise mail_server.NotSent(gettext_noop("The database kept us waiting for too long."))


def _settle_sent(mail: OutboxMail) -> None:
    """As often as the lease lets us: while the database is away, that it was sent is known here alone."""
    while True:
        try:
            outbox.settle_sent(mail)
            return
        except Error as error:
            database_errors.drop_if_read_only(error)
            if mail.lease_until is None or timezone.now() > mail.lease_until:
                raise
            close_old_connections()
            time.sleep(AGAIN_SECONDS)


def _settle_not_sent(mail: OutboxMail, reason: str, scope: Scope) -> None:
    """A refusal of us holds the queue. One that names a recipient or a text does not if another email just went out."""
    if scope is Scope.US or (scope is Scope.MAYBE_US and not hold.took_another_just_now(mail)):
        hold.begin_or_go_on(mail, reason)
        metrics.count_try(mail, "held")
        return
    settle = outbox.settle_failed if scope is Scope.EMAIL else outbox.postpone
    settle(mail, reason)
    if scope is not Scope.LATER:  # the server talks with us about single emails
        hold.end(mail)
    metrics.count_try(mail, "failed" if scope is Scope.EMAIL else "postponed")
    log.warning("mail %s (%s) was not sent, try %d: %s", mail.pk, mail.kind, mail.attempts, reason)


def message(mail: OutboxMail, content: mails.Content) -> EmailMultiAlternatives:
    """To one recipient, and under the same Message-ID on each try, by which their mail program tells a double."""
    built = EmailMultiAlternatives(
        content.subject,
        content.text,
        to=[deliverable(content.email)],
        headers={
            "Message-ID": f"<{mail.pk}@{_host()}>",
            ID_HEADER: str(mail.pk),
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            KIND_HEADER: mail.kind,
        },
    )
    built.attach_alternative(content.html, "text/html")
    return built


def without_secrets(reason: str) -> str:
    """A mail server's words on one line, without the links' secrets, which a filter for bad links would quote.

    Quoted-printable breaks them with a = at the end of a line.
    """
    return re.sub(r"token=[\w-]+(= [\w-]+)*", f"token={mails.BLANK}", " ".join(reason.split()))


def _host() -> str:
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    return f"[IPv6:{host}]" if ":" in host else host
