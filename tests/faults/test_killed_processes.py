"""Parts of the product are killed with SIGKILL while they work: others take over what they held."""

from pathlib import Path

import pytest

from tests.faults.conftest import Scenario
from tests.faults.mail_server import WatchedMailServer
from tests.faults.rabbitmq import Node
from tests.faults.stage import RELAY, SERVE, Answered, Stage
from tests.usermanager.processes import eventually

EMAILS = 100
KILLS = 5


def test_a_worker_that_is_killed_five_times_with_its_children(
    tmp_path: Path, node: Node, slow_mail_server: WatchedMailServer, scenario: Scenario
) -> None:
    stage = Stage(tmp_path, slow_mail_server, node.add_host(scenario.domain))
    try:
        stage.start(RELAY)
        stage.start_web()
        answered: list[Answered] = []
        for _ in range(KILLS):
            worker = stage.start_worker()
            eventually(lambda: " ready." in worker.log.read_text(), seconds=30)  # noqa: B023 - it is called here
            with stage.signing_up(scenario.domain, EMAILS // KILLS, a_second=100) as some:
                eventually(lambda: "was sent" in worker.log.read_text())  # noqa: B023
                worker.kill()
            answered += some
        tally = scenario.settle(stage, answered)
    finally:
        stage.close()
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered, tally.failed) == (EMAILS, EMAILS, 0)
    assert stage.tried_again(scenario.domain), "no worker was killed in the middle of a delivery"
    assert tally.doubled <= slow_mail_server.last_words()


@pytest.mark.parametrize("has_broker", [True, False], ids=["with_broker", "without_broker"])
def test_a_service_that_is_killed_right_after_an_answer(
    tmp_path: Path, has_broker: bool, node: Node, slow_mail_server: WatchedMailServer, scenario: Scenario
) -> None:
    stage = Stage(tmp_path, slow_mail_server, node.add_host(scenario.domain) if has_broker else "")
    try:
        service = stage.start_web(SERVE)
        answered = [stage.sign_up(scenario.domain) for _ in range(5)]
        service.kill()
        assert stage.unsettled(scenario.domain)
        stage.start_web(SERVE)
        tally = scenario.settle(stage, answered)
    finally:
        stage.close()
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered, tally.failed) == (5, 5, 0)
    assert tally.doubled <= slow_mail_server.last_words()
