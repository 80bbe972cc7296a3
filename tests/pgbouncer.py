"""Runs a pgbouncer before the shared PostgreSQL, in transaction mode, which restricts its clients most."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from tests.usermanager.processes import eventually, free_port

# Two connections to each database, used in turn: each transaction meets the session state of the one before last.
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
min_pool_size = 2
server_round_robin = 1
max_client_conn = 500
"""
BACKENDS = 2
# The settings that pgbouncer restores for each client.
TRACKED = {"client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "application_name"}
LEFT_BEHIND = """
SELECT pg_backend_pid(), name || ' = ' || setting FROM pg_settings WHERE source = 'session' AND name <> ALL(%s)
UNION ALL SELECT pg_backend_pid(), 'cursor ' || name FROM pg_cursors WHERE name <> ''
UNION ALL SELECT pg_backend_pid(), 'statement ' || name FROM pg_prepared_statements
UNION ALL SELECT pg_backend_pid(), 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT pg_backend_pid(), 'table ' || relname FROM pg_class WHERE relpersistence = 't'
UNION ALL SELECT pg_backend_pid(), ''
"""


class Missing(Exception):
    """pgbouncer is not installed."""


@contextmanager
def running() -> Iterator[str]:
    """Runs a pgbouncer within the block and yields its URL, without the name of a database.

    Raises Missing.
    """
    if shutil.which("pgbouncer") is None:
        raise Missing
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        file = Path(folder) / "pgbouncer.ini"
        file.write_text(CONFIGURATION.format(port=port))
        for path in (file.parent, file):
            path.chmod(0o755)  # pgbouncer refuses to run as root, and its user must read the file
        command = ["pgbouncer", "--quiet", *(["--user", "nobody"] if os.geteuid() == 0 else []), str(file)]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            url = f"postgres://postgres@127.0.0.1:{port}"
            eventually(lambda: process.poll() is not None or _answers(url))
            assert process.poll() is None, (Path(folder) / "log").read_text()
            yield url
        finally:
            process.terminate()
            process.wait(20)


def left_behind(url: str) -> dict[int, list[str]]:
    """Returns the session state that earlier clients left on each connection to a database: {process id: [state]}."""
    found: dict[int, list[str]] = {}
    with ExitStack() as opened:
        for _number in range(BACKENDS):  # each transaction keeps one connection until the end
            client = opened.enter_context(psycopg.connect(url, prepare_threshold=None))
            for pid, what in client.execute(LEFT_BEHIND, [list(TRACKED)]).fetchall():
                found.setdefault(pid, []).extend([what] if what else [])
    assert len(found) == BACKENDS
    return found


def _answers(url: str) -> bool:
    try:
        psycopg.connect(f"{url}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
