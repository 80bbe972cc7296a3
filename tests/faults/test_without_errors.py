"""Without any error, under load: each email goes out once."""

from tests.faults.conftest import Scenario
from tests.faults.stage import Stage

EMAILS = 300


def test_each_of_300_emails_goes_out_once(stage: Stage, scenario: Scenario) -> None:
    with stage.signing_up(scenario.domain, EMAILS, a_second=60) as answered:
        pass
    tally = scenario.settle(stage, answered)
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered, tally.failed, tally.doubled) == (EMAILS, EMAILS, 0, frozenset())
