"""The information that a Celery worker gives away."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.notifications.conftest import Broker
from tests.usermanager.processes import PROJECT, clean_environment, eventually, running

CELERY = ["-m", "celery", "-A", "celery_app"]
WORKER = [*CELERY, "worker", "--pool", "solo", "--without-gossip", "--without-mingle", "--loglevel", "INFO"]


@pytest.mark.broker
@pytest.mark.process
def test_a_worker_shows_life_in_a_file_and_answers_no_remote_control(broker: Broker, tmp_path: Path) -> None:
    """Any client of the broker could read the settings of all workers, and stop them."""
    alive, name = tmp_path / "alive", f"{broker.prefix}@here"
    environment = clean_environment(**broker.environment, DATA_DIR=str(tmp_path), WORKER_ALIVE_FILE=str(alive))
    command = [*WORKER, "--hostname", name, "--include", "usermanager.worker_ready"]
    with running(command, environment, ready="ready") as worker:
        eventually(alive.exists)
        alive.unlink()
        inspecting = [sys.executable, *CELERY, "inspect", "conf", "--timeout", "2", "--destination", name]
        reply = subprocess.run(inspecting, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert "No nodes replied" in reply.stdout + reply.stderr
        assert "guest" not in reply.stdout
        eventually(alive.exists)
        assert worker.stop() == 0
    assert "guest:guest" not in worker.printed
