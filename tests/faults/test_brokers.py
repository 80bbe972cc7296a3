"""RabbitMQ is stopped, frozen, killed or starved: no request notices, and the relay delivers meanwhile."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.conftest import WORKERS, Scenario
from tests.faults.rabbitmq import ENOUGH_MEMORY, NO_MEMORY, Node
from tests.faults.stage import QUEUE, Answered, Stage, Tally
from tests.usermanager.processes import eventually

EMAILS = 90
A_SECOND = 30.0
FAULT_SECONDS = 2.0
FAULT = ("the broker failed", "Connection to broker lost")  # as the publisher says, and as Celery's workers do


@pytest.fixture(autouse=True)
def healthy(node: Node) -> Iterator[None]:
    """Restores the broker after the test; the workers reconnect by themselves."""
    yield
    node.thaw()
    node.await_ready()
    eventually(lambda: node.readers(QUEUE) == WORKERS, seconds=60)


def sign_up_during(
    stage: Stage, scenario: Scenario, *, break_it: Callable[[], None], mend: Callable[[], None]
) -> Tally:
    """Users sign up before, while and after the broker fails, also before any process has noticed."""
    reported = stage.reported(*FAULT)
    late: list[Answered] = []

    def is_noticed() -> bool:
        late.append(stage.sign_up(scenario.domain))
        return stage.reported(*FAULT) > reported

    with stage.signing_up(scenario.domain, EMAILS, a_second=A_SECOND) as answered:
        eventually(lambda: len(answered) >= EMAILS // 3)
        break_it()
        time.sleep(FAULT_SECONDS)
        eventually(is_noticed)
        mend()
    return scenario.settle(stage, answered + late)


def hold(tally: Tally) -> None:
    """Asserts for every failure of the broker: each user got a response, and each email arrived once."""
    number = len(tally.answered)
    assert tally.statuses == {201}
    assert (tally.enqueued, tally.delivered, tally.failed, tally.doubled) == (number, number, 0, frozenset())


def test_a_broker_that_is_stopped_and_started(with_broker: Stage, node: Node, scenario: Scenario) -> None:
    tally = sign_up_during(with_broker, scenario, break_it=node.stop_app, mend=node.start_app)
    hold(tally)


def test_a_broker_that_is_not_there_when_a_worker_starts(with_broker: Stage, node: Node, scenario: Scenario) -> None:
    node.stop_app()
    try:
        worker = with_broker.start_worker()
        with with_broker.signing_up(scenario.domain, 30, a_second=A_SECOND) as answered:
            eventually(lambda: "Trying again" in worker.log.read_text(), seconds=30)
    finally:
        node.start_app()
    tally = scenario.settle(with_broker, answered)
    eventually(lambda: node.readers(QUEUE) == WORKERS + 1, seconds=60)
    worker.end()
    hold(tally)


def test_a_broker_that_freezes_and_thaws(with_broker: Stage, node: Node, scenario: Scenario) -> None:
    hold(sign_up_during(with_broker, scenario, break_it=node.freeze, mend=node.thaw))


@pytest.mark.usefixtures("slow_mail_server")
def test_a_broker_that_is_killed_in_the_middle_of_deliveries(
    with_broker: Stage, node: Node, scenario: Scenario
) -> None:
    def kill() -> None:
        node.kill()
        assert with_broker.unsettled(scenario.domain)

    hold(sign_up_during(with_broker, scenario, break_it=kill, mend=node.start))


def test_a_broker_that_is_killed_right_after_an_answer(with_broker: Stage, node: Node, scenario: Scenario) -> None:
    answered = [with_broker.sign_up(scenario.domain) for _ in range(5)]
    reported = with_broker.reported(*FAULT)
    node.kill()
    answered.append(with_broker.sign_up(scenario.domain))
    eventually(lambda: with_broker.reported(*FAULT) > reported)
    node.start()
    hold(scenario.settle(with_broker, answered))


def test_a_broker_without_memory(with_broker: Stage, node: Node, scenario: Scenario) -> None:
    tally = sign_up_during(
        with_broker,
        scenario,
        break_it=lambda: node.set_memory(NO_MEMORY),
        mend=lambda: node.set_memory(ENOUGH_MEMORY),
    )
    hold(tally)


def test_a_broker_whose_queue_is_deleted(with_broker: Stage, node: Node, scenario: Scenario) -> None:
    tally = sign_up_during(with_broker, scenario, break_it=lambda: node.delete(QUEUE), mend=lambda: None)
    hold(tally)
