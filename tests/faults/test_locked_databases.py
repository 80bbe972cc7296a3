"""A long write transaction on SQLite: all others wait for it, and none fails."""

import time

from tests.faults.conftest import Scenario
from tests.faults.stage import Stage

EMAILS = 90
LOCKED_SECONDS = 4.0


def test_a_database_that_is_locked_for_four_seconds(stage: Stage, scenario: Scenario) -> None:
    with stage.signing_up(scenario.domain, EMAILS, a_second=30) as answered:
        time.sleep(1)
        with stage.locked():
            time.sleep(LOCKED_SECONDS)
    tally = scenario.settle(stage, answered)
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered, tally.failed, tally.doubled) == (EMAILS, EMAILS, 0, frozenset())
