"""A PostgreSQL server that tests start themselves, to stop it, freeze it or make it read-only."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.conftest import missing
from tests.usermanager.processes import eventually, free_port

PROGRAMS = Path("/usr/lib/postgresql")  # Debian's
ACCOUNT = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root


class Server:
    """One server with its own port and files. It syncs nothing: the tests crash the product, not the server."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.port = free_port()
        self._data, self._programs = folder / "data", programs
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--pgdata", str(self._data), "--username", "postgres", "--auth", "trust", "--no-sync")
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(f"fsync = off\nport = {self.port}\nunix_socket_directories = ''\nmax_connections = 60\n")
            settings.write("dynamic_shared_memory_type = mmap\n")  # so that its files are deleted with the folder

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        log = (self._data.parent / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", user=ACCOUNT, group=ACCOUNT)
        eventually(self._answers)

    def stop(self) -> None:
        """Ends the server and all connections at once. It refuses later connections."""
        self._signal(signal.SIGINT)
        if self._process:
            self._process.wait(20)

    def freeze(self) -> None:
        """Stops all answers, to open connections and to new ones, which the kernel still accepts."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def set(self, name: str, value: str) -> None:
        """Changes a setting, also for open sessions, as after a failover to a read-only server."""
        self.execute(f"ALTER SYSTEM SET {name} = {value}")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        options = "-c default_transaction_read_only=off"
        with psycopg.connect(self.url, autocommit=True, connect_timeout=3, options=options) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Kills the server in any state."""
        if self._process:
            for number in (signal.SIGCONT, signal.SIGKILL):
                for pid in self._family():
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
            self._process.wait(20)

    def _family(self) -> list[int]:
        assert self._process
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with suppress(FileNotFoundError):
            return [self._process.pid, *map(int, children.read_text().split())]
        return []

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            return bool(self.execute("SELECT 1"))
        return False

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60, user=ACCOUNT, group=ACCOUNT)


@contextmanager
def running() -> Iterator[Server]:
    programs = sorted(PROGRAMS.glob("*/bin/initdb"))
    if not programs:
        missing("the programs of PostgreSQL (apt install postgresql), of which it starts a server of its own")
    with tempfile.TemporaryDirectory(prefix="usermanager-postgres-") as name:
        if ACCOUNT:
            shutil.chown(name, ACCOUNT)
        server = Server(Path(name), programs[-1].parent)
        try:
            server.start()
            yield server
        finally:
            server.close()
