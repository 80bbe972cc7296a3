"""An installation of separate processes that a test can kill one by one, and users who sign up meanwhile."""

import http.client
import json
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.usermanager.processes import (
    clean_environment,
    create_tables,
    descendants,
    eventually,
    free_port,
    is_alive,
    start,
)

PASSWORD = "correct horse battery staple"
CLIENTS = 4
REQUEST_SECONDS = 30.0
QUEUE = "mail.now.v1"

WEB = ("-m", "gunicorn", "-c", "python:usermanager.gunicorn_config", "usermanager.wsgi")
RELAY = ("manage.py", "relay")
WORKER = ("-m", "celery", "-A", "celery_app", "worker", "--queues", "mail.now.v1,mail.bulk.v1", "--concurrency", "4",
          "--without-gossip", "--without-mingle", "--loglevel", "INFO")  # fmt: skip
SERVE = ("manage.py", "serve")

_numbers = count(1)


class Answered(NamedTuple):
    """The status and duration of a request; status 0 means no response."""

    status: int
    seconds: float


@dataclass(frozen=True)
class Tally:
    """The outcome of a scenario's emails. `doubled` has the ids of emails that arrived more than once."""

    enqueued: int
    delivered: int
    failed: int
    doubled: frozenset[str]
    answered: tuple[Answered, ...]

    @property
    def statuses(self) -> set[int]:
        return {one.status for one in self.answered}

    def __str__(self) -> str:
        seconds = sorted(one.seconds for one in self.answered)
        p99 = seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)] * 1000
        emails = f"enqueued {self.enqueued:>3}  delivered {self.delivered:>3}  duplicates {len(self.doubled)}"
        return f"{emails}  failed {self.failed:>2}  sign-ups {len(seconds)}, p99 {p99:.0f} ms"


class Mailbox(Protocol):
    """An SMTP server that counts how often each email arrived."""

    @property
    def url(self) -> str: ...
    def ids(self) -> Counter[str]: ...


class Process:
    """A program of the product, in a session of its own."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = start([*arguments], env=environment, stdout=output, stderr=output, is_session=True)

    def kill(self) -> None:
        """Kills the process with all of its children at once, like a power cut."""
        family = {self._process.pid} | descendants(self._process.pid)
        for number in (signal.SIGSTOP, signal.SIGKILL):  # a parent that stands still starts no other child
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        self._process.wait(20)

    def end(self) -> None:
        """Terminates the process, and kills it and its children if they don't end in time."""
        family = {self._process.pid} | descendants(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(30)
        finally:
            for pid in filter(is_alive, family):
                os.kill(pid, signal.SIGKILL)
            self._process.wait(20)

    def wait(self, seconds: float = 60) -> int:
        """Waits until the process ends; returns its exit status."""
        return self._process.wait(seconds)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None


class Stage:
    """An installation: a database, an SMTP server, and the processes that a scenario starts."""

    def __init__(
        self, folder: Path, mail_server: Mailbox, broker_url: str = "", *, settings: str = "tests.faults.settings"
    ) -> None:
        self.port = free_port()
        self.mail_server = mail_server
        self._folder = folder
        self._environment = clean_environment(
            DJANGO_SETTINGS_MODULE=settings,
            DATA_DIR=str(folder / "var"),
            PORT=str(self.port),
            EMAIL_URL=mail_server.url,
            CELERY_BROKER_URL=broker_url,
            RATE_LIMITS="off",
            BCRYPT_ROUNDS="4",
            WEB_WORKERS="1",
            LOG_LEVEL="info",
        )
        self._processes: list[Process] = []
        create_tables(folder / "var")
        prepare = self.start(("manage.py", "prepare"))
        assert prepare.wait() == 0, prepare.log.read_text()

    @property
    def database(self) -> Path:
        return self._folder / "var" / "usermanager.sqlite3"

    def start(self, arguments: tuple[str, ...], **environment: str) -> Process:
        log = self._folder / f"log-{len(self._processes)}.txt"
        process = Process(arguments, self._environment | environment, log)
        self._processes.append(process)
        return process

    def start_web(self, arguments: tuple[str, ...] = WEB) -> Process:
        process = self.start(arguments)
        eventually(lambda: self.answers() or not process.is_running(), seconds=180)
        assert process.is_running(), process.log.read_text()[-3000:]
        return process

    def start_relay_of_another_host(self) -> Process:
        """Starts a relay that shares the database alone, so no other process can wake it."""
        other = self._folder / "other-host"
        other.mkdir()
        (other / "secret_key").write_bytes((self._folder / "var" / "secret_key").read_bytes())
        return self.start(RELAY, DATA_DIR=str(other), DATABASE_URL=f"sqlite:///{self.database}")

    def start_worker(self) -> Process:
        return self.start((*WORKER, "--hostname", f"faults{next(_numbers)}@%h"))

    def answers(self) -> bool:
        return self.ask("GET", "/health/ready/").status == 200

    def sign_up(self, domain: str) -> Answered:
        """Registers a new user, who gets a welcome email."""
        email = f"user{next(_numbers)}@{domain}"
        return self.ask("POST", "/api/v1/auth/register/", {"email": email, "password": PASSWORD})

    @contextmanager
    def signing_up(self, domain: str, number: int, *, a_second: float) -> Iterator[list[Answered]]:
        """Registers users while the block runs; all responses are there when it has ended."""
        answered: list[Answered] = []
        begin = time.monotonic()

        def one(place: int) -> None:
            time.sleep(max(0.0, begin + place / a_second - time.monotonic()))
            answered.append(self.sign_up(domain))

        with ThreadPoolExecutor(CLIENTS) as pool:
            futures = [pool.submit(one, place) for place in range(number)]
            yield answered
            for future in futures:
                future.result()

    def settle(self, domain: str, answered: list[Answered], *, seconds: float = 60) -> Tally:
        """Waits until no email is pending, and counts the emails that arrived."""
        eventually(lambda: not self.unsettled(domain), seconds=seconds)
        states = self._states(domain)
        taken = Counter({mail_id: times for mail_id, times in self.mail_server.ids().items() if mail_id in states})
        assert taken.keys() >= {mail_id for mail_id, state in states.items() if state == "sent"}
        doubled = frozenset(mail_id for mail_id, times in taken.items() if times > 1)
        failed = sum(state == "failed" for state in states.values())
        return Tally(len(states), len(taken), failed, doubled, tuple(answered))

    def unsettled(self, domain: str) -> list[tuple[str, ...]]:
        """Returns the emails that are pending or being sent."""
        return self._rows("id", domain, "AND state IN ('owed', 'sending')")

    def tried_again(self, domain: str) -> int:
        """Counts the emails with more than one attempt."""
        return len(self._rows("id", domain, "AND attempts > 1"))

    def reported(self, *words: str) -> int:
        """Counts how often the processes have logged one of these texts."""
        logs = [process.log.read_text() for process in self._processes]
        return sum(log.count(word) for log in logs for word in words)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds a write transaction open, as another process might."""
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=20)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield  # closing it ends the transaction

    def close(self) -> None:
        """Ends all processes at the same time, each in good order."""
        running = [process for process in self._processes if process.is_running()]
        threads = [threading.Thread(target=process.end) for process in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _states(self, domain: str) -> dict[str, str]:
        """Returns the state of each email by its id, in the notation of the email's header."""
        return {_with_dashes(mail_id): state for mail_id, state in self._rows("id, state", domain)}

    def _rows(self, columns: str, domain: str, condition: str = "") -> list[tuple[str, ...]]:
        query = f"SELECT {columns} FROM notifications_outboxmail WHERE email LIKE ? {condition}"  # noqa: S608
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)) as connection:
            return connection.execute(query, [f"%@{domain}"]).fetchall()

    def ask(self, method: str, path: str, body: object = None) -> Answered:
        begin = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        try:
            content = json.dumps(body) if body else None
            connection.request(method, path, content, {"Content-Type": "application/json"} if body else {})
            status = connection.getresponse().status
        except OSError:
            status = 0
        finally:
            connection.close()
        return Answered(status, time.monotonic() - begin)


def _with_dashes(mail_id: str) -> str:
    return "-".join((mail_id[:8], mail_id[8:12], mail_id[12:16], mail_id[16:20], mail_id[20:]))
