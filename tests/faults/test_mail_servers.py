"""The mail server is away, refuses, hangs, or breaks off: what is owed goes out as soon as it can."""

import time

import pytest

from tests.faults.conftest import Scenario
from tests.faults.post import WatchedPost
from tests.faults.stage import Answered, Stage
from tests.notifications.post import CLOSE, HANG

MAILS = 40
FAULT_SECONDS = 2.0


def sign_up_during(
    stage: Stage, scenario: Scenario, post: WatchedPost, stage_of_mail: str, answer: str
) -> list[Answered]:
    """The mail server answers so for a while, and well after that."""
    with stage.signing_up(scenario.domain, MAILS, a_second=25) as answered:
        post.answers[stage_of_mail] = answer
        time.sleep(FAULT_SECONDS)
        post.answers.clear()
    return answered


def test_a_mail_server_that_is_away(with_broker: Stage, post: WatchedPost, scenario: Scenario) -> None:
    with with_broker.signing_up(scenario.domain, MAILS, a_second=25) as answered:
        post.close()
        time.sleep(FAULT_SECONDS)
        post.open()
    tally = scenario.settle(with_broker, answered)
    assert tally.statuses == {201}
    assert (tally.owed, tally.delivered) == (MAILS, MAILS)
    assert tally.doubled <= post.last_words()


@pytest.mark.parametrize(
    ("at", "answer"),
    [("RCPT", "451 4.7.1 greylisted"), ("RCPT", HANG)],
    ids=["greylists", "hangs"],
)
def test_a_mail_server_that(stage: Stage, post: WatchedPost, scenario: Scenario, at: str, answer: str) -> None:
    tally = scenario.settle(stage, sign_up_during(stage, scenario, post, at, answer))
    assert tally.statuses == {201}
    assert (tally.owed, tally.delivered, tally.doubled) == (MAILS, MAILS, frozenset())


@pytest.mark.parametrize("answer", [HANG, CLOSE], ids=["is_silent", "hangs_up"])
def test_a_mail_server_that_after_the_text(
    with_broker: Stage, post: WatchedPost, scenario: Scenario, answer: str
) -> None:
    """It took the mail, and nobody can know: the one fault after which a mail may come twice."""
    tally = scenario.settle(with_broker, sign_up_during(with_broker, scenario, post, "DATA", answer))
    assert tally.statuses == {201}
    assert (tally.owed, tally.delivered) == (MAILS, MAILS)
    assert tally.doubled <= post.last_words()


def test_a_mail_server_that_refuses_for_good(with_broker: Stage, post: WatchedPost, scenario: Scenario) -> None:
    """Each is tried once, and an admin sees it."""
    post.answers["RCPT"] = "550 5.1.1 no such user"
    try:
        with with_broker.signing_up(scenario.domain, MAILS, a_second=25) as answered:
            pass
        tally = scenario.settle(with_broker, answered)
    finally:
        post.answers.clear()
    assert tally.statuses == {201}
    assert (tally.owed, tally.delivered, tally.failed) == (MAILS, 0, MAILS)


def test_a_mail_server_that_refuses_us(stage: Stage, post: WatchedPost, scenario: Scenario) -> None:
    """Until an operator mends the settings: no email fails, none uses up attempts, and the error is logged once."""
    before = stage.reported("refuses this installation")
    tally = scenario.settle(stage, sign_up_during(stage, scenario, post, "MAIL", "553 5.1.8 sender domain not found"))
    assert tally.statuses == {201}
    assert (tally.owed, tally.delivered, tally.failed, tally.doubled) == (MAILS, MAILS, 0, frozenset())
    assert stage.tried_again(scenario.domain) == 0
    assert stage.reported("refuses this installation") - before == 1
