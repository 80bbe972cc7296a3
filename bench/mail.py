"""Measures how fast emails go out, how long they wait behind others, and what a failing broker costs a sign-up.

    .venv/bin/python -m bench.mail [--mails 3000] [--backlog 50000] [--parts rates,waits]

Starts the product's processes on a folder of their own, a RabbitMQ of its own (Debian's rabbitmq-server) and a mail
server that takes whatever comes.
"""

import argparse
import re
import smtplib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from tests.faults import rabbitmq
from tests.faults.rabbitmq import ENOUGH_MEMORY, NO_MEMORY, Node
from tests.faults.stage import RELAY, Process, Stage
from tests.usermanager.processes import eventually

PROJECT = Path(__file__).resolve().parents[1]
SETTINGS = "usermanager.settings"
SLOW_SECONDS = 0.05
LOOK_SECONDS = 0.5

_numbers = count(1)


class Sink:
    """The mail server, and the emails that have arrived."""

    def __init__(self, folder: Path, delay_seconds: float = 0.0) -> None:
        self._arrivals = folder / f"arrivals-{next(_numbers)}.txt"
        program = [sys.executable, "bench/mail_sink.py", str(self._arrivals), str(delay_seconds)]
        self.process = subprocess.Popen(program, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def arrived(self) -> dict[str, float]:
        """Returns the first arrival of each email, in seconds since the epoch."""
        lines = [line.split() for line in self._arrivals.read_text().splitlines() if line.count(" ") == 1]
        return {name: float(at) for name, at in reversed(lines)}

    def ids(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self._arrivals.read_text().splitlines())

    def wait_for(self, mails: int) -> None:
        """Polls rarely, as the measured processes share the cores."""
        deadline = time.monotonic() + 300
        while len(self.ids()) < mails:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.ids())} of {mails} mails came")
            time.sleep(LOOK_SECONDS)

    def a_second(self) -> float:
        times = [float(line.split()[1]) for line in self._arrivals.read_text().splitlines()]
        return (len(times) - 1) / (max(times) - min(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mails", type=int, default=3000)
    parser.add_argument("--backlog", type=int, default=50_000)
    parser.add_argument("--parts", default="rates,waits,backlog,faults")
    options = parser.parse_args()
    home = rabbitmq.programs()
    if home is None:
        sys.exit("rabbitmq-server is missing: apt install rabbitmq-server")
    with tempfile.TemporaryDirectory(prefix="usermanager-bench-") as name:
        folder = Path(name)
        (folder / "rabbitmq").mkdir()
        with rabbitmq.running(folder / "rabbitmq", home) as node:
            parts: dict[str, Callable[[], None]] = {
                "rates": lambda: _print_rates(folder, node, options.mails),
                "waits": lambda: _print_waits(folder, node),
                "backlog": lambda: _print_backlog(folder, node, options.backlog),
                "faults": lambda: _print_faults(folder, node),
            }
            for part in options.parts.split(","):
                parts[part]()


def _print_rates(folder: Path, node: Node, mails: int) -> None:
    print(f"\n{mails} invitations to a local mail server, each with a link of its own")
    with _sink(folder) as sink:
        _send_bare(sink, mails)
        print(f"  smtplib alone, one connection   {sink.a_second():6.0f} a second")
    for title, url in (("one worker, and the relay that feeds it", node.add_host("rates")), ("one relay", "")):
        with _sink(folder) as sink, _stage(folder, sink, url) as stage:
            _import(stage, mails)
            _start_senders(stage, node, url)
            sink.wait_for(mails)
            print(f"  {title:<40}{sink.a_second():6.0f} a second, {_doubles(sink)} twice")


def _print_waits(folder: Path, node: Node) -> None:
    print("\nFrom the commit to the mail server's hands, 200 sign-ups at 5 a second")
    for title, url in (("with RabbitMQ", node.add_host("waits")), ("without", "")):
        with _sink(folder) as sink, _stage(folder, sink, url) as stage:
            _start_senders(stage, node, url)
            stage.start_web()
            stage.sign_up("warm.example.com")
            with stage.signing_up("bench.example.com", 200, a_second=5):
                pass
            eventually(lambda: not stage.unsettled("bench.example.com"))
            print(f"  {title:<40}{_spread(_waits(stage, sink, 'welcome'))}")


def _print_backlog(folder: Path, node: Node, backlog: int) -> None:
    print(f"\nA password reset behind {backlog} invitations")
    for title, url, delay in (
        ("with RabbitMQ", node.add_host("backlog"), 0.0),
        (f"with RabbitMQ, {SLOW_SECONDS * 1000:.0f} ms a mail", node.add_host("slow"), SLOW_SECONDS),
        ("without", "", 0.0),
        (f"without, {SLOW_SECONDS * 1000:.0f} ms a mail", "", SLOW_SECONDS),
    ):
        with _sink(folder, delay) as sink, _stage(folder, sink, url) as stage:
            _import(stage, backlog)
            processes = _start_senders(stage, node, url)
            stage.start_web()
            eventually(lambda: len(sink.ids()) > 100)
            for number in range(20):
                stage.ask("POST", "/api/v1/auth/password/reset/", {"email": f"user{number}@import.example.com"})
                time.sleep(0.5)
            time.sleep(3)
            waits = _waits(stage, sink, "password_reset")
            peak = max(map(_peak_memory, processes))
            print(f"  {title:<40}{_spread(waits)}, {len(waits)} of 20 came; {sink.a_second():.0f} a second, {peak} MB")


def _print_faults(folder: Path, node: Node) -> None:
    print("\nSigning up, 60 people at 10 a second")
    states: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("RabbitMQ is well", lambda: None, lambda: None),
        ("stopped", node.stop_app, node.start_app),
        ("frozen", node.freeze, node.thaw),
        ("without memory", lambda: node.set_memory(NO_MEMORY), lambda: node.set_memory(ENOUGH_MEMORY)),
    ]
    url = node.add_host("faults")
    with _sink(folder) as sink, _stage(folder, sink, url) as stage:
        _start_senders(stage, node, url)
        stage.start_web()
        stage.sign_up("warm.example.com")
        for title, break_it, mend in states:
            break_it()
            with stage.signing_up(f"{len(title)}.example.com", 60, a_second=10) as answered:
                pass
            mend()
            time.sleep(20)  # until the publishers use it again
            print(f"  {title:<40}{_spread([one.seconds for one in answered])}")


@contextmanager
def _sink(folder: Path, delay_seconds: float = 0.0) -> Iterator[Sink]:
    sink = Sink(folder, delay_seconds)
    try:
        yield sink
    finally:
        sink.process.terminate()
        sink.process.wait(10)


@contextmanager
def _stage(folder: Path, sink: Sink, url: str) -> Iterator[Stage]:
    place = folder / f"stage-{next(_numbers)}"
    place.mkdir()
    stage = Stage(place, sink, url, settings=SETTINGS)
    try:
        yield stage
    finally:
        stage.close()


def _start_senders(stage: Stage, node: Node, url: str) -> list[Process]:
    """The relay and, with a broker, one worker that is ready."""
    if not url:
        return [stage.start(RELAY)]
    worker = stage.start_worker()
    eventually(lambda: " ready." in worker.log.read_text(), seconds=60)
    return [stage.start(RELAY), worker]


def _import(stage: Stage, number: int) -> None:
    file = stage.database.parent / "users.csv"
    file.write_text("email\n" + "".join(f"user{index}@import.example.com\n" for index in range(number)))
    imported = stage.start(("manage.py", "import_users", str(file), "--invite"))
    assert imported.wait(seconds=600) == 0, imported.log.read_text()


def _send_bare(sink: Sink, number: int) -> None:
    text = "To: ana@example.com\r\nSubject: An invitation\r\nX-Entity-Ref-ID: {}\r\n\r\n" + "word " * 1200
    with smtplib.SMTP("127.0.0.1", sink.port) as connection:
        for index in range(number):
            connection.sendmail("no-reply@example.com", "ana@example.com", text.format(index))


def _waits(stage: Stage, sink: Sink, kind: str) -> list[float]:
    """Returns the seconds between the row and the arrival, for each email of the kind that arrived."""
    arrived = sink.arrived()
    with closing(sqlite3.connect(f"file:{stage.database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT id, created_at FROM notifications_outboxmail WHERE kind = ?", [kind])
        created = {re.sub("(.{8})(.{4})(.{4})(.{4})", r"\1-\2-\3-\4-", name): _seconds(at) for name, at in rows}
    return [arrived[name] - at for name, at in created.items() if name in arrived]


def _seconds(stored: str) -> float:
    return datetime.fromisoformat(stored).replace(tzinfo=UTC).timestamp()


def _spread(seconds: Iterable[float]) -> str:
    ordered = sorted(one * 1000 for one in seconds)
    p99 = ordered[len(ordered) * 99 // 100]
    return f"median {statistics.median(ordered):6.1f} ms, p99 {p99:7.1f}, longest {ordered[-1]:7.1f}"


def _doubles(sink: Sink) -> int:
    return sum(times > 1 for times in sink.ids().values())


def _peak_memory(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


if __name__ == "__main__":
    main()
