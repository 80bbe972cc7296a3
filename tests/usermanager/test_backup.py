"""manage.py backup writes a complete installation under load, and the commands of docs/backup.md restore it."""

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.usermanager.processes import PROJECT, clean_environment, create_tables, free_port, manage, running

pytestmark = pytest.mark.process

PASSWORD = "correct horse battery staple"


class Product:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://localhost:{port}/api/v1"

    def post(self, path: str, **body: Any) -> requests.Response:
        return requests.post(f"{self.url}/auth/{path}/", json=body, timeout=20)


def served(folder: Path) -> Iterator[Product]:
    port = free_port()
    environment = clean_environment(
        DATA_DIR=str(folder), PORT=str(port), BCRYPT_ROUNDS="4", RATE_LIMITS="off", LOG_LEVEL="error"
    )
    with running(["manage.py", "serve"], environment, "Ctrl-C ends it"):
        yield Product(folder, port)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Product]:
    create_tables(tmp_path / "here")
    yield from served(tmp_path / "here")


def restore(archive: Path, folder: Path) -> None:
    """Runs the commands of docs/backup.md."""
    page = (PROJECT / "docs" / "backup.md").read_text()
    block = re.search(r"(mkdir -m 700 var\ntar -xzf) \S+ (-C var)\n", page)
    assert block
    folder.mkdir()
    commands = f"set -e\n{block[1]} '{archive}' {block[2]}\n"
    subprocess.run(["/bin/sh", "-c", commands], cwd=folder, check=True)


def test_a_backup_under_load_restores_to_a_working_installation(here: Product, tmp_path: Path) -> None:
    tokens = here.post("register", email="ana@example.com", password=PASSWORD)
    assert tokens.status_code == 201
    refresh = here.post("login", email="ana@example.com", password=PASSWORD).json()["refresh"]
    statuses: list[int] = []
    is_over = threading.Event()

    def register() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            body = {"email": f"user{number}@example.com", "password": PASSWORD}
            statuses.append(here.post("register", **body).status_code)

    crowd = threading.Thread(target=register)
    crowd.start()
    archive = tmp_path / "backup.tar.gz"
    try:
        done = manage("backup", str(archive), DATA_DIR=str(here.folder))
    finally:
        is_over.set()
        crowd.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert set(statuses) == {201}
    assert archive.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    restore(archive, tmp_path / "there")
    for there in served(tmp_path / "there" / "var"):
        assert there.post("token/refresh", refresh=refresh).status_code == 200
        assert there.post("login", email="ana@example.com", password=PASSWORD).status_code == 200


def test_a_folder_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    create_tables(tmp_path)
    ended = manage("backup", str(tmp_path / "nowhere" / "backup.tar.gz"), DATA_DIR=str(tmp_path))
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "cannot be written: No such file or directory" in ended.stderr


def test_postgresql_is_rejected(tmp_path: Path) -> None:
    nobody = "postgres://nobody@127.0.0.1:1/nothing"
    ended = manage("backup", str(tmp_path / "backup.tar.gz"), DATA_DIR=str(tmp_path), DATABASE_URL=nobody)
    assert ended.returncode == 1
    assert "pg_dump" in ended.stderr
    assert not (tmp_path / "backup.tar.gz").exists()
