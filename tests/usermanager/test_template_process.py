"""A fork of the template process behaves like a program that a new interpreter runs."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.usermanager.processes import clean_environment, manage, start

pytestmark = pytest.mark.process

SHOW = """
import json, os, sys
print(json.dumps({
    "environment": dict(os.environ), "folder": os.getcwd(), "parent": os.getppid(),
    "arguments": sys.argv, "files": len(os.listdir("/proc/self/fd")),
}))
"""


def shown(folder: Path) -> dict[str, Any]:
    ended = manage("shell", "--no-imports", "-c", SHOW, cwd=folder, DATA_DIR=str(folder))
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_it_has_the_environment_and_the_arguments_of_its_start_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://id.example.com")
    found = shown(tmp_path)
    started = clean_environment(DATA_DIR=str(tmp_path), DJANGO_SETTINGS_MODULE="usermanager.settings")
    assert found["environment"].items() >= started.items()
    assert found["environment"].keys() - started.keys() <= {"TZ"}  # which Django sets
    assert found["arguments"][1:] == ["shell", "--no-imports", "-c", SHOW]
    assert found["folder"] == str(tmp_path)


def test_it_has_no_files_of_the_template_and_is_a_child_of_the_test(tmp_path: Path) -> None:
    found = shown(tmp_path)
    assert found["parent"] == os.getpid()
    assert found["files"] == 4  # the standard ones, and that of the list itself


def test_two_that_start_one_after_the_other_share_no_random_state(tmp_path: Path) -> None:
    code = "import random, secrets, uuid; print(random.random(), secrets.token_hex(), uuid.uuid4())"
    first, second = (manage("shell", "-c", code, DATA_DIR=str(tmp_path)).stdout.split()[-3:] for _start in range(2))
    assert not set(first) & set(second)


def test_a_signal_ends_it_and_is_its_status(tmp_path: Path) -> None:
    with open(os.devnull, "w") as nothing:
        command = ["manage.py", "shell", "-c", "import time; time.sleep(60)"]
        program = start(command, env=clean_environment(DATA_DIR=str(tmp_path)), stdout=nothing, stderr=nothing)
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.01)
    assert program.poll() is None
    program.kill()
    assert program.wait(20) == program.poll() == -signal.SIGKILL
