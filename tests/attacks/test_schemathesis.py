"""schemathesis with all of its checks over the running service, signed in as a user and as an admin.

It changes and deletes rows, so it has its own service and database.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.service import SERVE, Service, started
from tests.notifications import databases
from tests.usermanager.processes import PROJECT, clean_environment
from tests.whole.mail_server import MailServer

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SECONDS = os.environ.get("SCHEMATHESIS_SECONDS", "6")  # for each of the two and each database


@pytest.fixture(scope="module")
def fuzzed(database: dict[str, str], tmp_path_factory: pytest.TempPathFactory, office: MailServer) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("fuzzed") / "var"
    if not database:
        with started(SERVE, folder, office, RATE_LIMITS="off") as service:
            yield service
        return
    with databases.new_on_postgres() as name:
        url = f"{databases.SERVER}/{name}"
        with started(SERVE, folder, office, RATE_LIMITS="off", DATABASE_URL=url) as service:
            yield service


@pytest.mark.parametrize("role", ["user", "admin"])
def test_every_response_is_documented(role: str, fuzzed: Service, tmp_path: Path) -> None:
    environment = {
        **fuzzed.environment,
        "ATTACKED_URL": fuzzed.url,
        "ATTACKED_ROLE": role,
        "SCHEMATHESIS_HOOKS": "tests.attacks.schemathesis_hooks",
        "PYTHONPATH": str(PROJECT),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path),
    }
    program = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION), "run"]
    options = ["--checks", "all", "--max-time", SECONDS, "--no-color", "--generation-database", "none"]
    ended = subprocess.run(
        [*program, *options, "--warnings", "off", f"{fuzzed.url}/api/schema/"],
        cwd=tmp_path,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20000:] + ended.stderr
