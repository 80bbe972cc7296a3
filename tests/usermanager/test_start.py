"""What a process loads when it starts: only what it needs, because loading takes most of a command's time."""

import subprocess
import sys
from pathlib import Path

from tests.usermanager.processes import PROJECT, clean_environment

RUN = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "usermanager.settings"
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
print(*sys.modules, file=sys.stderr)
"""


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    """Returns the names of the modules that a command loads."""
    environment = clean_environment(DATA_DIR=str(folder))
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_a_command_loads_only_what_it_needs(tmp_path: Path) -> None:
    loaded_by(tmp_path, "migrate", "--verbosity", "0")
    loaded = loaded_by(tmp_path, "users", "list")
    assert "accounts.users" in loaded
    assert not loaded & {"psycopg", "accounts.admin", "accounts.api", "rest_framework.serializers", "jwt", "webauthn"}


def test_the_checks_load_the_pages_of_the_panel(tmp_path: Path) -> None:
    assert "accounts.admin.users" in loaded_by(tmp_path, "check", "--tag", "admin")


def test_the_documents_are_built_without_geodjango(tmp_path: Path) -> None:
    loaded = loaded_by(tmp_path, "spectacular", "--file", str(tmp_path / "openapi.yaml"))
    assert "drf_spectacular.contrib.django_filters" in loaded
    assert "django.contrib.gis" not in loaded
