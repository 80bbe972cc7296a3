"""Several processes start on an empty database at the same moment: one sets it up, the others wait."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests import pgbouncer
from tests.conftest import missing
from tests.notifications import databases
from tests.usermanager.processes import PROJECT, clean_environment, free_port, manage, running

pytestmark = pytest.mark.process

PROCESSES, ROUNDS = 3, 2
VARIABLES = {"BCRYPT_ROUNDS": "4", "SECRET_KEY": "test-" * 10}
DATABASES = ["sqlite", *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres", "pgbouncer"))]


class Installation:
    """An empty installation: a database and a folder for DATA_DIR."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self.url, self.data_dir = url, data_dir

    def manage(self, *arguments: str) -> str:
        ended = manage(*arguments, cwd=PROJECT, DATABASE_URL=self.url, DATA_DIR=str(self.data_dir), **VARIABLES)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def installations(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Installation]]:
    folders = [tmp_path / f"var{number}" for number in range(ROUNDS)]
    for folder in folders:
        folder.mkdir()
    try:
        with ExitStack() as opened:
            if request.param == "sqlite":
                urls = [f"sqlite:///{folder}/db.sqlite3" for folder in folders]
            else:
                is_pooled = request.param == "pgbouncer"
                server = opened.enter_context(pgbouncer.running()) if is_pooled else databases.SERVER
                names = [opened.enter_context(databases.new_on_postgres()) for _folder in folders]
                urls = [f"{server}/{name}" + ("?pgbouncer=true" if is_pooled else "") for name in names]
            yield [Installation(url, folder) for url, folder in zip(urls, folders, strict=True)]
    except (psycopg.OperationalError, pgbouncer.Missing):
        missing("PostgreSQL at 127.0.0.1:5432 (user postgres) and pgbouncer")


@pytest.mark.parametrize("installations", DATABASES, indirect=True)
def test_one_sets_up_the_database_and_the_others_wait(installations: list[Installation], tmp_path: Path) -> None:
    variables = clean_environment(
        DATA_DIR=str(tmp_path / "var"), DJANGO_SETTINGS_MODULE="usermanager.settings", **VARIABLES
    )
    command = [sys.executable, "-m", "tests.usermanager.bootstrap_program", str(PROCESSES)]
    arguments = [part for installation in installations for part in (installation.url, str(installation.data_dir))]
    ended = subprocess.run(
        [*command, *arguments], cwd=PROJECT, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    rounds = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    for installation, results in zip(installations, rounds, strict=True):
        assert [result["error"] for result in results] == [None] * PROCESSES
        assert len([result for result in results if result["password"]]) == 1
        assert len(list((installation.data_dir / "keys").glob("*.pem"))) == 1
    assert [admin["email"] for admin in json.loads(installations[0].manage("users", "list", "--json"))] == [
        "admin@example.com"
    ]
    assert installations[0].manage("audit", "verify") == "All 1 events are intact.\n"
    assert installations[0].manage("prepare") == ""


@pytest.mark.postgres
@pytest.mark.parametrize("installations", ["postgres"], indirect=True)
def test_two_services_that_start_at_once_are_ready(installations: list[Installation]) -> None:
    variables = {"DATABASE_URL": installations[0].url, "DATA_DIR": str(installations[0].data_dir)}
    variables |= {"WEB_WORKERS": "1", "WEB_THREADS": "2"} | VARIABLES
    command = ["manage.py", "serve"]
    with ExitStack() as opened:
        services = [
            opened.enter_context(running(command, clean_environment(PORT=str(free_port()), **variables), ready=""))
            for _number in range(2)
        ]
        for service in services:
            service.read_until("Data ")
        assert sum("with the password" in service.printed for service in services) == 1
        assert [service.stop() for service in services] == [0, 0]
