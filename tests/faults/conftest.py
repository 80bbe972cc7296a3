"""The stages on which faults are played, each started once, and the table of what became of the mails."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing
from tests.faults import rabbitmq
from tests.faults.post import WatchedPost
from tests.faults.rabbitmq import Node
from tests.faults.stage import QUEUE, RELAY, Answered, Stage, Tally
from tests.usermanager.processes import eventually

WORKERS = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.process)
            item.add_marker(pytest.mark.xdist_group("faults"))  # one after the other, on the same stages


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [line for report in reports for name, line in report.user_properties if name == "mails"]
    if lines and reports:
        terminalreporter.section("mails owed and delivered")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def post() -> Iterator[WatchedPost]:
    post = WatchedPost()
    post.open()
    yield post
    post.close()


@pytest.fixture
def slow_post(post: WatchedPost) -> Iterator[WatchedPost]:
    """Each mail takes it half a second, so that whatever is killed is in the middle of some."""
    post.delay_seconds = 0.17
    yield post
    post.delay_seconds = 0.0


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    programs = rabbitmq.programs()
    if programs is None:
        missing("rabbitmq-server (apt install rabbitmq-server), of which it starts one of its own")
        return
    with rabbitmq.running(tmp_path_factory.mktemp("rabbitmq"), programs) as node:
        yield node


@pytest.fixture(scope="session")
def with_broker(tmp_path_factory: pytest.TempPathFactory, post: WatchedPost, node: Node) -> Iterator[Stage]:
    """A web server, two workers, and the relays of two hosts."""
    stage = Stage(tmp_path_factory.mktemp("with_broker"), post, node.url())
    try:
        _start_relays(stage)
        for _ in range(WORKERS):
            stage.start_worker()
        stage.start_web()
        eventually(lambda: node.readers(QUEUE) == WORKERS, seconds=60)
        yield stage
    finally:
        stage.close()


@pytest.fixture(scope="session")
def without_broker(tmp_path_factory: pytest.TempPathFactory, post: WatchedPost) -> Iterator[Stage]:
    """A web server, and the relays of two hosts."""
    stage = Stage(tmp_path_factory.mktemp("without_broker"), post)
    try:
        _start_relays(stage)
        stage.start_web()
        yield stage
    finally:
        stage.close()


@pytest.fixture(params=["with_broker", "without_broker"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """Each of the two in turn."""
    found: Stage = request.getfixturevalue(request.param)
    return found


class Scenario:
    """One test, and what becomes of the mails of those who sign up in it, under a domain of its own."""

    def __init__(self, name: str, record: Callable[[str, object], None]) -> None:
        self.domain = f"{re.sub('[^a-z0-9]+', '-', name).strip('-')[:60]}.example.com"
        self._name, self._record = name, record

    def settle(self, stage: Stage, answered: list[Answered]) -> Tally:
        """Waits for the mails, and puts what became of them into the table at the end."""
        tally = stage.settle(self.domain, answered)
        self._record("mails", f"{tally}  {self._name}")
        return tally


@pytest.fixture
def scenario(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Scenario:
    return Scenario(request.node.name.removeprefix("test_"), record_property)


def _start_relays(stage: Stage) -> None:
    stage.start(RELAY)
    stage.start_relay_of_another_host()
