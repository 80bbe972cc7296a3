"""The mail server is away, rejects, hangs or disconnects: pending emails go out as soon as possible."""

import time

import pytest

from tests.faults.conftest import Scenario
from tests.faults.mail_server import WatchedMailServer
from tests.faults.stage import Answered, Stage
from tests.notifications.mail_server import CLOSE, HANG

EMAILS = 40
FAULT_SECONDS = 2.0


def sign_up_during(
    stage: Stage, scenario: Scenario, mail_server: WatchedMailServer, stage_of_mail: str, answer: str
) -> list[Answered]:
    """Makes the mail server reply like this for a while, while users sign up."""
    with stage.signing_up(scenario.domain, EMAILS, a_second=25) as answered:
        mail_server.answers[stage_of_mail] = answer
        time.sleep(FAULT_SECONDS)
        mail_server.answers.clear()
    return answered


def test_a_mail_server_that_is_away(with_broker: Stage, mail_server: WatchedMailServer, scenario: Scenario) -> None:
    with with_broker.signing_up(scenario.domain, EMAILS, a_second=25) as answered:
        mail_server.close()
        time.sleep(FAULT_SECONDS)
        mail_server.open()
    tally = scenario.settle(with_broker, answered)
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered) == (EMAILS, EMAILS)
    assert tally.doubled <= mail_server.last_words()


@pytest.mark.parametrize(
    ("at", "answer"),
    [("RCPT", "451 4.7.1 greylisted"), ("RCPT", HANG)],
    ids=["greylists", "hangs"],
)
def test_a_mail_server_that(
    stage: Stage, mail_server: WatchedMailServer, scenario: Scenario, at: str, answer: str
) -> None:
    tally = scenario.settle(stage, sign_up_during(stage, scenario, mail_server, at, answer))
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered, tally.doubled) == (EMAILS, EMAILS, frozenset())


@pytest.mark.parametrize("answer", [HANG, CLOSE], ids=["is_silent", "hangs_up"])
def test_a_mail_server_that_after_the_text(
    with_broker: Stage, mail_server: WatchedMailServer, scenario: Scenario, answer: str
) -> None:
    """The server accepted the email and its sender can't know: the only error after which an email may arrive twice."""
    tally = scenario.settle(with_broker, sign_up_during(with_broker, scenario, mail_server, "DATA", answer))
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered) == (EMAILS, EMAILS)
    assert tally.doubled <= mail_server.last_words()


def test_a_mail_server_that_rejects_permanently(
    with_broker: Stage, mail_server: WatchedMailServer, scenario: Scenario
) -> None:
    """Each email is attempted once, and an administrator sees the error."""
    mail_server.answers["RCPT"] = "550 5.1.1 no such user"
    try:
        with with_broker.signing_up(scenario.domain, EMAILS, a_second=25) as answered:
            pass
        tally = scenario.settle(with_broker, answered)
    finally:
        mail_server.answers.clear()
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered, tally.failed) == (EMAILS, 0, EMAILS)


def test_a_mail_server_that_rejects_the_installation(
    stage: Stage, mail_server: WatchedMailServer, scenario: Scenario
) -> None:
    """Until an operator corrects the settings, no email fails or uses up attempts, and the error is logged once."""
    before = stage.reported("rejects this installation")
    tally = scenario.settle(
        stage, sign_up_during(stage, scenario, mail_server, "MAIL", "553 5.1.8 sender domain not found")
    )
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered, tally.failed, tally.doubled) == (EMAILS, EMAILS, 0, frozenset())
    assert stage.tried_again(scenario.domain) == 0
    assert stage.reported("rejects this installation") - before == 1
