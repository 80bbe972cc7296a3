"""Web server, worker and relay count in one folder, also from separate containers, and the web server adds up."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from tests.faults.stage import Stage
from tests.notifications.mail_server import MailServer
from tests.usermanager.processes import PROJECT, clean_environment
from usermanager import prometheus_multiprocess

pytestmark = pytest.mark.process

CONTAINER = """
import os
os.uname = lambda: os.uname_result(("Linux", sys.argv[1], "6", "1", "x86_64"))
os.getpid = lambda: 7
import django
django.setup()
from notifications import metrics
metrics.delivery_seconds.observe(0.3)
metrics.attempts_total.labels("welcome", "sent").inc()
"""


def test_processes_with_the_same_id_in_two_containers_count_in_separate_files(tmp_path: Path) -> None:
    (tmp_path / "counts").mkdir()
    environment = clean_environment(
        DJANGO_SETTINGS_MODULE="usermanager.settings",
        DATA_DIR=str(tmp_path / "var"),
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "counts"),
    )
    for host in ("worker_1", "relay"):
        command = [sys.executable, "-c", f"import sys{CONTAINER}", host]
        subprocess.run(command, cwd=PROJECT, env=environment, check=True, timeout=60)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path / "counts"))  # type: ignore[no-untyped-call]
    text = generate_latest(registry).decode()
    assert "mail_delivery_seconds_count 2.0" in text
    assert 'mail_tries_total{kind="welcome",outcome="sent"} 2.0' in text
    assert len(list((tmp_path / "counts").glob("counter_*.db"))) == 2


def test_a_web_server_alone_adds_up_all_of_its_processes(tmp_path: Path) -> None:
    stage = Stage(tmp_path, MailServer())
    try:
        stage.start_web()
        with urllib.request.urlopen(f"http://127.0.0.1:{stage.port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    finally:
        stage.close()
    assert 'http_requests_total{method="GET",route="' in text
    assert "password_hashes_waiting 0.0" in text


def test_a_process_is_identified_by_host_and_process_id() -> None:
    assert prometheus_multiprocess.identifier() == f"{prometheus_multiprocess.HOST}-{os.getpid()}"
    assert prometheus_multiprocess.identifier(12) == f"{prometheus_multiprocess.HOST}-12"
