"""One mail on its way to a real mail server, whatever that answers."""

import logging
import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from traceback import format_exception

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from notifications import delivery, mail_server, mails, outbox
from notifications.models import MAX_ATTEMPTS, OutboxMail, State
from tests.notifications.post import CLOSE, HANG, Post, text_of
from tests.usermanager.processes import eventually

Owe = Callable[..., OutboxMail]


def deliver(mail: OutboxMail) -> OutboxMail:
    """Tries it now, even if it should wait; returns the row as it is afterwards."""
    OutboxMail.objects.filter(pk=mail.pk, state=State.OWED).update(next_attempt_at=timezone.now())
    delivery.deliver(mail.pk)
    return OutboxMail.objects.get(pk=mail.pk)


def test_a_mail_arrives_with_text_and_html_and_names_its_row(owe: Owe, ana: User, post: Post) -> None:
    settled = deliver(owe("password_reset"))
    assert (settled.state, settled.attempts, settled.last_error) == (State.SENT, 1, "")
    assert settled.sent_at is not None
    mail = post.one()
    assert mail["To"] == "ana@example.com"
    assert mail["From"] == "UserManager <no-reply@localhost>"
    assert mail["Subject"] == "Reset your UserManager password"
    assert mail["Message-ID"] == f"<{settled.pk}@localhost>"
    assert mail["X-Entity-Ref-ID"] == str(settled.pk)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Mail-Kind"] == "password_reset"
    assert mail["Date"]
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    link = re.search(r"\?token=[\w-]{43}\s", text_of(mail))
    assert link
    html = mail.get_body(("html",))
    assert html
    assert link[0].strip() in html.get_content()


def test_the_domain_is_sent_in_its_ascii_form_and_the_rest_as_written(
    person: Callable[..., User], owe: Owe, post: Post
) -> None:
    person("Ana", email="Ana.B@BÜCHER.example")
    deliver(owe("password_reset", email="Ana.B@BÜCHER.example"))
    assert post.one()["To"] == "Ana.B@xn--bcher-kva.example"


@pytest.mark.parametrize("kind", ["password_reset", "verify_email", "already_registered"])
def test_whoever_asks_decides_neither_the_spelling_nor_the_mailbox(
    person: Callable[..., User], owe: Owe, post: Post, kind: str
) -> None:
    person("ana", email="Ana.B@bücher.example", email_verified=kind != "verify_email")
    deliver(owe(kind, email="aNA.b@BÜCHER.example"))
    mail = post.one()
    assert mail["To"] == "Ana.B@xn--bcher-kva.example"
    assert "aNA.b@" not in mail.as_string()


def test_another_spelling_of_the_same_address_is_confirmed_in_that_spelling(ana: User, owe: Owe, post: Post) -> None:
    deliver(owe("email_change", user=ana, email="Ana@example.com"))
    assert post.one()["To"] == "Ana@example.com"


def test_what_nobody_wants_is_cancelled_and_not_sent(owe: Owe, post: Post) -> None:
    settled = deliver(owe("password_reset"))
    assert (settled.state, settled.last_error) == (State.CANCELLED, "Nobody has this address.")
    assert post.mails == []


def test_what_is_gone_or_sent_or_not_due_is_left_alone(owe: Owe, ana: User, post: Post) -> None:
    sent, gone, later = owe(), owe(), owe()
    delivery.deliver(sent.pk)
    delivery.deliver(sent.pk)
    gone.delete()
    delivery.deliver(gone.pk)
    OutboxMail.objects.filter(pk=later.pk).update(next_attempt_at=timezone.now() + timedelta(minutes=1))
    delivery.deliver(later.pk)
    assert list(post.ids()) == [str(sent.pk)]


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
def test_a_permanent_refusal_fails_the_mail_at_once(owe: Owe, ana: User, post: Post, stage: str) -> None:
    post.answers[stage] = "550 5.1.1 no such user"
    settled = deliver(owe())
    assert (settled.state, settled.attempts, settled.last_error) == (State.FAILED, 1, "550 5.1.1 no such user")


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_a_greylisted_mail_is_tried_again_and_arrives_under_the_same_name(
    owe: Owe, ana: User, post: Post, stage: str
) -> None:
    post.answers[stage] = "451 4.7.1 greylisted"
    settled = deliver(owe("password_reset"))
    assert (settled.state, settled.attempts, settled.last_error) == (State.OWED, 1, "451 4.7.1 greylisted")
    assert settled.next_attempt_at > timezone.now() + timedelta(seconds=30)
    post.answers.clear()
    again = deliver(settled)
    assert (again.state, again.attempts) == (State.SENT, 2)
    assert post.one()["Message-ID"] == f"<{settled.pk}@localhost>"


def test_a_server_that_wants_us_to_log_in_does_not_refuse_the_mail(owe: Owe, ana: User, post: Post) -> None:
    post.answers["MAIL"] = "530 5.7.0 Authentication required"
    assert deliver(owe()).state == State.OWED


def test_a_server_that_is_not_there_is_tried_again(owe: Owe, ana: User, post: Post) -> None:
    post.close()
    settled = deliver(owe())
    assert settled.state == State.OWED
    assert "refused" in settled.last_error


def test_a_server_whose_name_is_unknown_is_tried_again(owe: Owe, ana: User, post: Post, settings: Settings) -> None:
    settings.EMAIL_HOST = "mail.invalid"
    assert deliver(owe()).state == State.OWED


def test_a_connection_that_is_cut_after_the_text_is_tried_again(owe: Owe, ana: User, post: Post) -> None:
    """Nobody can know whether that mail arrived; both have the same Message-ID."""
    post.answers["DATA"] = CLOSE
    settled = deliver(owe())
    assert (settled.state, settled.attempts) == (State.OWED, 1)
    post.answers.clear()
    assert deliver(settled).state == State.SENT
    assert len({mail["Message-ID"] for mail in post.mails}) == 1


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_says_nothing_is_given_up_in_time(
    owe: Owe, ana: User, post: Post, settings: Settings, stage: str
) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    post.answers[stage] = HANG
    begin = time.monotonic()
    settled = deliver(owe())
    assert settled.state == State.OWED
    assert "timed out" in settled.last_error
    assert time.monotonic() - begin < 2


def test_a_conversation_ends_in_time_even_if_each_answer_does_come(
    owe: Owe, ana: User, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "CONVERSATION_SECONDS", 0.3)
    post.answers["RCPT"] = HANG
    begin = time.monotonic()
    assert deliver(owe()).state == State.OWED
    assert time.monotonic() - begin < 2


def test_the_last_try_fails_the_mail(owe: Owe, ana: User, post: Post) -> None:
    post.answers["RCPT"] = "451 later"
    mail = owe()
    OutboxMail.objects.filter(pk=mail.pk).update(attempts=MAX_ATTEMPTS - 1)
    assert deliver(mail).state == State.FAILED


def test_a_run_of_mails_shares_a_connection_even_past_refusals(owe: Owe, ana: User, post: Post) -> None:
    deliver(owe())
    post.answers["RCPT"] = "550 no"
    deliver(owe())
    post.answers.clear()
    deliver(owe())
    assert len(post.mails) == 2
    assert post.conversations == 1


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again_at_once(owe: Owe, ana: User, post: Post) -> None:
    deliver(owe())
    post.answers["DATA"] = CLOSE
    deliver(owe())
    post.answers.clear()
    assert deliver(owe()).state == State.SENT
    assert post.conversations == 2


def test_a_server_that_takes_so_many_mails_a_connection_gets_another_one(owe: Owe, ana: User, post: Post) -> None:
    deliver(owe())

    async def enough_once(server: object, session: object, envelope: object, address: str, options: object) -> str:
        del post.handle_MAIL  # the method of the class answers from now on
        return "421 too many mails in this connection"

    post.handle_MAIL = enough_once  # type: ignore[method-assign]
    settled = deliver(owe())
    assert (settled.state, settled.attempts) == (State.SENT, 1)


def test_an_idle_connection_is_closed(owe: Owe, ana: User, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_server, "IDLE_SECONDS", 0.1)
    deliver(owe())
    eventually(lambda: "mail-server-watcher" not in {thread.name for thread in threading.enumerate()})
    assert deliver(owe()).state == State.SENT
    assert post.conversations == 2


def test_what_a_server_quotes_of_a_mail_is_kept_without_the_secret(
    owe: Owe, ana: User, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    post.answers["DATA"] = "550 blocked for: {mail}"
    with caplog.at_level(logging.DEBUG, logger="notifications"):
        settled = deliver(owe("password_reset"))
    assert settled.state == State.FAILED
    assert "token=…" in settled.last_error
    assert not re.search(r"token=[\w-]", settled.last_error + caplog.text)


def test_a_server_that_quotes_the_mail_as_it_came_tells_no_secret_either(owe: Owe, ana: User, post: Post) -> None:
    post.answers["DATA"] = "550 blocked for: {raw}"
    settled = deliver(owe("password_reset"))
    (_head, token), *_ = re.findall(r"\?(token=)([\w-]{43})", text_of(post.taken))
    assert "token=…" in settled.last_error
    assert not any(token[place : place + 8] in settled.last_error for place in range(len(token) - 8))


def test_a_fault_that_nobody_foresaw_postpones_the_mail_and_is_raised(
    owe: Owe, ana: User, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(mail: OutboxMail) -> mails.Content:
        raise ZeroDivisionError("token=secret")

    monkeypatch.setattr(mails, "compose", stumble)
    mail = owe()
    with pytest.raises(delivery.Unforeseen, match=r"^ZeroDivisionError$") as raised:
        delivery.deliver(mail.pk)
    assert "token=" not in "".join(format_exception(raised.value))
    settled = OutboxMail.objects.get(pk=mail.pk)
    assert (settled.state, settled.attempts, settled.last_error) == (State.OWED, 1, "ZeroDivisionError")


def test_a_mail_whose_lease_ran_out_while_the_database_was_slow_is_left_to_the_next_try(
    owe: Owe, ana: User, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one may take it over at any moment, and both would send it."""
    monkeypatch.setattr(outbox, "LEASE", timedelta(seconds=mail_server.CONVERSATION_SECONDS + 19))
    settled = deliver(owe())
    assert (settled.state, settled.last_error) == (State.OWED, "The database kept us waiting for too long.")
    assert post.mails == []


def test_that_a_mail_was_sent_is_written_down_as_soon_as_the_database_is_back(
    owe: Owe, ana: User, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "AGAIN_SECONDS", 0.01)
    settle, faults = outbox.settle_sent, [OperationalError("locked"), OperationalError("locked")]

    def settle_at_last(mail: OutboxMail) -> None:
        if faults:
            raise faults.pop()
        settle(mail)

    monkeypatch.setattr(outbox, "settle_sent", settle_at_last)
    assert deliver(owe()).state == State.SENT
    assert len(post.mails) == 1


def test_a_database_that_stays_away_is_given_up_with_the_lease(
    owe: Owe, ana: User, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "AGAIN_SECONDS", 0.01)
    ends_at = timezone.now() + timedelta(seconds=0.1)

    def fail(mail: OutboxMail) -> None:
        mail.lease_until = ends_at
        raise OperationalError("locked")

    monkeypatch.setattr(outbox, "settle_sent", fail)
    assert deliver(owe()).state == State.SENDING  # which the next sender takes for a dead one's
    assert timezone.now() > ends_at


def test_a_mail_goes_out_of_any_transaction(owe: Owe, ana: User, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as code of ours opens one: the test's own is always there."""
    depth = len(connection.savepoint_ids)

    def look(message: object) -> None:
        assert len(connection.savepoint_ids) == depth

    monkeypatch.setattr(mail_server, "send", look)
    assert deliver(owe("password_reset")).state == State.SENT
