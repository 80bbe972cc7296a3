"""Nothing is wrong, and many have something to do: each mail goes out once."""

from tests.faults.conftest import Scenario
from tests.faults.stage import Stage

MAILS = 300


def test_each_of_300_mails_goes_out_once(stage: Stage, scenario: Scenario) -> None:
    with stage.signing_up(scenario.domain, MAILS, a_second=60) as answered:
        pass
    tally = scenario.settle(stage, answered)
    assert tally.statuses == {201}
    assert (tally.owed, tally.delivered, tally.failed, tally.doubled) == (MAILS, MAILS, 0, frozenset())
