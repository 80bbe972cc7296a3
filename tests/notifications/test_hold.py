"""A mail server that refuses us holds the queue: no email fails or uses up an attempt, and all go out afterwards."""

import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from notifications import delivery, hold, outbox
from notifications.models import MAX_ATTEMPTS, DeliveryHold, OutboxMail, State
from tests.notifications.post import Post

Owe = Callable[..., OutboxMail]

RELAY_DENIED = "554 5.7.1 <ana@example.com>: Relay access denied"

US = [
    ("EHLO", "554 5.7.1 client host [192.0.2.1] blocked using bl.example"),
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
    ("MAIL", "550 5.7.1 not you"),
    ("MAIL", "553 5.1.8 sender domain not found"),
    ("MAIL", "553 5.7.1 <no-reply@localhost>: Sender address rejected: not owned by user"),
    ("MAIL", "555 5.5.4 unsupported parameters"),
    ("RCPT", "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"),
    ("RCPT", "450 4.7.1 <localhost>: Helo command rejected: Host not found"),
    ("RCPT", "450 4.7.25 Client host rejected: cannot find your reverse hostname"),
    ("RCPT", RELAY_DENIED),
    ("RCPT", "550 relay not permitted"),
    ("RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    ("RCPT", "553 5.1.8 <no-reply@localhost>: Sender address rejected"),
    ("RCPT", "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied"),
    ("RCPT", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.example"),
    ("RCPT", "535 5.7.8 bad credentials"),
    ("RCPT", "530 5.7.0 Authentication required"),
    ("RCPT", "550 5.7.1 Unable to send"),
    ("DATA", "550 5.7.26 This email is unauthenticated: SPF and DKIM did not pass"),
    ("DATA", "554 5.7.9 message rejected, DMARC policy"),
]
ONE = [
    ("RCPT", "550 5.1.1 no such user"),
    ("RCPT", "550 no"),
    ("RCPT", "550 5.1.0 rejected"),
    ("RCPT", "550 5.2.1 mailbox disabled"),
    ("RCPT", "552 5.2.2 mailbox full"),
    ("RCPT", "550 5.4.1 Recipient address rejected: Access denied"),
    ("RCPT", "554 5.7.1 <ana@example.com>: Recipient address rejected: Access denied"),
    ("RCPT", "553 5.1.3 bad address syntax"),
    ("RCPT", "551 user not local"),
    ("RCPT", "556 5.1.10 domain accepts no mail"),
    ("MAIL", "552 5.3.4 message too large"),
    ("DATA", "554 5.7.1 spam"),
    ("DATA", "550 blocked for: {mail}"),
    ("DATA", "554 5.6.0 bad content"),
]
LATER = [
    ("MAIL", "421 4.7.0 too many connections"),
    ("RCPT", "451 4.7.1 greylisted"),
    ("RCPT", "452 4.2.2 mailbox full"),
    ("DATA", "451 4.3.0 later"),
]


def deliver(mail: OutboxMail) -> OutboxMail:
    delivery.deliver(mail.pk)
    return OutboxMail.objects.get(pk=mail.pk)


def probe() -> OutboxMail | None:
    """What the relay does in each of its rounds while the queue is held."""
    held = hold.current()
    assert held
    chosen = hold.choose_probe(held)
    return deliver(chosen) if chosen else None


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    def passed(time: timedelta) -> None:
        now = timezone.now() + time
        monkeypatch.setattr("django.utils.timezone.now", lambda: now)

    return passed


@pytest.mark.parametrize("refusal", US)
def test_a_refusal_of_us_fails_no_email_and_uses_up_no_attempt(
    owe: Owe, ana: User, post: Post, caplog: pytest.LogCaptureFixture, refusal: tuple[str, str]
) -> None:
    stage, answer = refusal
    post.answers[stage] = answer
    refused, other = owe(), owe()
    with caplog.at_level(logging.ERROR):
        settled = deliver(refused)
        assert (settled.state, settled.attempts, settled.last_error) == (State.OWED, 0, answer)
        waiting = deliver(other)
    assert (waiting.state, waiting.attempts, waiting.last_error) == (State.OWED, 0, "")
    assert len(caplog.records) == 1
    assert "ana@example.com" not in caplog.text
    post.answers.clear()
    sent = probe()
    assert sent
    assert (sent.pk, sent.state) == (other.pk, State.SENT)
    assert hold.current() is None


@pytest.mark.parametrize(("stage", "answer"), ONE)
def test_a_refusal_of_one_email_fails_it_and_holds_nothing(
    owe: Owe, ana: User, post: Post, stage: str, answer: str
) -> None:
    post.answers[stage] = answer
    settled = deliver(owe())
    assert (settled.state, settled.attempts) == (State.FAILED, 1)
    assert hold.current() is None


@pytest.mark.parametrize(("stage", "answer"), LATER)
def test_a_server_that_takes_nothing_now_holds_nothing(
    owe: Owe, ana: User, post: Post, stage: str, answer: str
) -> None:
    post.answers[stage] = answer
    settled = deliver(owe())
    assert (settled.state, settled.attempts) == (State.OWED, 1)
    assert hold.current() is None


@pytest.mark.parametrize("name", ["EMAIL_USE_TLS", "EMAIL_USE_SSL", "EMAIL_HOST_USER"])
def test_what_the_settings_ask_and_the_server_cannot_do_holds_the_queue(
    owe: Owe, ana: User, post: Post, settings: Settings, name: str
) -> None:
    setattr(settings, name, "ana" if name == "EMAIL_HOST_USER" else True)
    settings.EMAIL_HOST_PASSWORD = "secret"
    assert deliver(owe()).attempts == 0
    assert hold.current()


def test_while_the_refusal_lasts_one_email_at_a_time_is_tried_ever_less_often(
    owe: Owe, ana: User, post: Post, pass_time: Callable[[timedelta], None]
) -> None:
    post.answers["RCPT"] = RELAY_DENIED
    mails = [owe() for _ in range(4)]
    deliver(mails[0])
    tried: list[UUID] = []
    for pause in (0, 29, 2, 59, 2, 119, 2):
        pass_time(timedelta(seconds=pause))
        if refused := probe():
            tried.append(refused.pk)
        assert probe() is None
    assert tried == [mails[1].pk, mails[2].pk, mails[3].pk, mails[0].pk]
    assert set(OutboxMail.objects.values_list("state", "attempts")) == {(State.OWED, 0)}
    pass_time(hold.LONGEST_PAUSE)
    post.answers.clear()
    assert probe()
    for mail in OutboxMail.objects.filter(state=State.OWED):
        assert deliver(mail).state == State.SENT
    assert set(OutboxMail.objects.values_list("attempts", flat=True)) == {1}


def test_an_email_that_alone_is_refused_holds_the_others_for_a_moment_and_fails_at_last(
    owe: Owe, ana: User, post: Post, pass_time: Callable[[timedelta], None]
) -> None:
    """By its words the refusal is about us, but the server takes all other emails."""
    bad = owe()
    for attempts in range(1, MAX_ATTEMPTS + 1):
        post.answers["RCPT"] = RELAY_DENIED
        deliver(bad)
        assert hold.current()
        post.answers.clear()
        owe()
        sent = probe()
        assert sent
        assert (sent.state, hold.current()) == (State.SENT, None)
        bad.refresh_from_db()
        assert bad.attempts == attempts
        pass_time(timedelta(days=1))
    assert bad.state == State.FAILED


def test_an_email_that_alone_is_refused_again_and_again_delays_no_other(
    owe: Owe, ana: User, post: Post, pass_time: Callable[[timedelta], None]
) -> None:
    """Anybody may register an address that the server refuses. Where few emails go out, nothing else is tried."""
    post.answers["RCPT"] = RELAY_DENIED
    bad = owe()
    deliver(bad)
    for pause in (30, 29, 2, 62, 124, 248, 299, 2):
        pass_time(timedelta(seconds=pause))
        refused = probe()
        assert (refused is None) == (pause in (29, 299))
    post.answers.clear()
    other = owe()
    sent = probe()
    assert sent
    assert (sent.pk, sent.state, hold.current()) == (other.pk, State.SENT, None)
    bad.refresh_from_db()
    assert bad.attempts == 1


@pytest.mark.parametrize("action", ["delete", "cancel"])
def test_a_queue_in_which_nothing_is_left_is_held_no_more(owe: Owe, ana: User, post: Post, action: str) -> None:
    post.answers["RCPT"] = RELAY_DENIED
    refused = owe()
    deliver(refused)
    assert probe() is None
    assert hold.current()
    refused.delete() if action == "delete" else call_command("mails", "cancel", str(refused.pk))
    assert probe() is None
    assert hold.current() is None


def test_while_others_go_out_a_refusal_about_one_recipient_holds_nothing(owe: Owe, ana: User, post: Post) -> None:
    deliver(owe())
    post.answers["RCPT"] = RELAY_DENIED
    settled = deliver(owe())
    assert (settled.state, settled.attempts) == (State.OWED, 1)
    assert hold.current() is None
    post.answers = {"MAIL": "550 5.7.1 not you"}
    deliver(owe())
    assert hold.current()


def test_of_many_who_look_one_chooses_the_probe(owe: Owe, ana: User, post: Post) -> None:
    post.answers["MAIL"] = RELAY_DENIED
    deliver(owe())
    owe(), owe()
    held = hold.current()
    assert held
    assert hold.choose_probe(held)
    assert hold.choose_probe(held) is None


def test_a_probe_whose_sender_dies_is_followed_by_another(
    owe: Owe, ana: User, post: Post, pass_time: Callable[[timedelta], None]
) -> None:
    post.answers["MAIL"] = RELAY_DENIED
    deliver(owe())
    owe(), owe()
    held = hold.current()
    assert held
    dead = hold.choose_probe(held)
    assert dead
    assert outbox.claim(dead.pk)
    post.answers.clear()
    pass_time(outbox.LEASE)
    sent = probe()
    assert sent
    assert (sent.pk != dead.pk, sent.state, hold.current()) == (True, State.SENT, None)


def test_a_probe_that_is_wanted_no_more_gives_way_to_the_next(owe: Owe, ana: User, post: Post) -> None:
    post.answers["MAIL"] = RELAY_DENIED
    deliver(owe())
    unwanted, other = owe(email="gone@example.com"), owe()
    post.answers.clear()
    first, second = probe(), probe()
    assert first
    assert second
    assert [(first.pk, first.state), (second.pk, second.state)] == [
        (unwanted.pk, State.CANCELLED),
        (other.pk, State.SENT),
    ]


@pytest.fixture
def held(owe: Owe, ana: User, post: Post) -> Post:
    post.answers["RCPT"] = RELAY_DENIED
    deliver(owe())
    return post


def test_operators_and_admins_are_told(held: Post, manages: Client, capsys: pytest.CaptureFixture[str]) -> None:
    told = "554 5.7.1 <…>: Relay access denied"
    call_command("mails", "list")
    assert told in capsys.readouterr().err
    ready = Client().get("/health/ready/")
    assert (ready.status_code, ready.json()["outbox"]) == (200, "held")
    assert "Emails held" in manages.get("/admin/").content.decode()
    assert (
        "554 5.7.1 &lt;…&gt;: Relay access denied" in manages.get("/admin/notifications/outboxmail/").content.decode()
    )
    metrics = Client().get("/metrics").content.decode()
    assert "mails_held 1.0" in metrics


def test_sending_again_tries_the_server_at_once(held: Post) -> None:
    DeliveryHold.objects.update(
        next_probe_at=timezone.now() + timedelta(hours=1), since=timezone.now() - hold.FIRST_PAUSE
    )
    assert probe() is None
    held.answers.clear()
    call_command("mails", "retry", str(OutboxMail.objects.get().pk))
    assert probe()
    assert hold.current() is None
