"""The installations for these tests, each started once, and the table of delivered emails."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import missing
from tests.faults import rabbitmq
from tests.faults.mail_server import WatchedMailServer
from tests.faults.rabbitmq import Node
from tests.faults.stage import QUEUE, RELAY, Answered, Stage, Tally
from tests.usermanager.processes import eventually

WORKERS = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/faults/"):
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.process)
            item.add_marker(pytest.mark.xdist_group("faults"))  # one after the other, on the same stages


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [line for report in reports for name, line in report.user_properties if name == "emails"]
    if lines and reports:
        terminalreporter.section("emails enqueued and delivered")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="package")
def mail_server() -> Iterator[WatchedMailServer]:
    mail_server = WatchedMailServer()
    mail_server.open()
    yield mail_server
    mail_server.close()


@pytest.fixture
def slow_mail_server(mail_server: WatchedMailServer) -> Iterator[WatchedMailServer]:
    """Takes half a second for each email, so that a killed process is in the middle of some."""
    mail_server.delay_seconds = 0.17
    yield mail_server
    mail_server.delay_seconds = 0.0


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    programs = rabbitmq.programs()
    if programs is None:
        missing("rabbitmq-server (apt install rabbitmq-server), of which it starts one of its own")
        return
    with rabbitmq.running(tmp_path_factory.mktemp("rabbitmq"), programs) as node:
        yield node


@pytest.fixture(scope="package")
def with_broker(
    tmp_path_factory: pytest.TempPathFactory, mail_server: WatchedMailServer, node: Node
) -> Iterator[Stage]:
    """A web server, two workers, and the relays of two hosts."""
    stage = Stage(tmp_path_factory.mktemp("with_broker"), mail_server, node.url())
    try:
        _start_relays(stage)
        for _ in range(WORKERS):
            stage.start_worker()
        stage.start_web()
        eventually(lambda: node.readers(QUEUE) == WORKERS, seconds=60)
        yield stage
    finally:
        stage.close()


@pytest.fixture(scope="package")
def without_broker(tmp_path_factory: pytest.TempPathFactory, mail_server: WatchedMailServer) -> Iterator[Stage]:
    """A web server, and the relays of two hosts."""
    stage = Stage(tmp_path_factory.mktemp("without_broker"), mail_server)
    try:
        _start_relays(stage)
        stage.start_web()
        yield stage
    finally:
        stage.close()


@pytest.fixture(params=["with_broker", "without_broker"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """Runs the test with each of the two installations."""
    found: Stage = request.getfixturevalue(request.param)
    return found


class Scenario:
    """A test with its own email domain, whose results go into the table at the end."""

    def __init__(self, name: str, record: Callable[[str, object], None]) -> None:
        self.domain = f"{re.sub('[^a-z0-9]+', '-', name).strip('-')[:60]}.example.com"
        self._name, self._record = name, record

    def settle(self, stage: Stage, answered: list[Answered]) -> Tally:
        """Waits until no email is pending; adds the tally to the table at the end."""
        tally = stage.settle(self.domain, answered)
        self._record("emails", f"{tally}  {self._name}")
        return tally


@pytest.fixture
def scenario(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Scenario:
    return Scenario(request.node.name.removeprefix("test_"), record_property)


def _start_relays(stage: Stage) -> None:
    stage.start(RELAY)
    stage.start_relay_of_another_host()
