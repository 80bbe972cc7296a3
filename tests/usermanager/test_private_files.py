"""Every file in DATA_DIR is readable by its owner alone, whatever the modes of the folder and of the process are.

And a process that can write no temporary file does not start.
"""

import errno
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests
from pytest_django import Settings

from accounts import private_files
from tests.usermanager.processes import PROJECT, clean_environment, eventually, free_port, manage, running

PERSON = {"email": "ana@example.com", "password": "correct horse battery staple"}


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The mode in which most shells start a program: others may read what it writes."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Below the folder, with their modes."""
    paths = sorted(path for path in folder.rglob("*") if path.lstat().st_mode & 0o077)
    return [f"{path.relative_to(folder)} {stat.filemode(path.lstat().st_mode)}" for path in paths]


@pytest.mark.process
@pytest.mark.usefixtures("open_umask")
def test_a_whole_life_leaves_nothing_that_others_may_read(tmp_path: Path) -> None:
    folder, port = tmp_path / "var", free_port()
    folder.mkdir(mode=0o755)
    (folder / "templates").mkdir(mode=0o755)
    run = partial(manage, cwd=PROJECT, DATA_DIR=str(folder), BCRYPT_ROUNDS="4")
    assert run("prepare").returncode == 0
    for name in ("usermanager.sqlite3", "secret_key", "keys"):  # as an older version left them
        (folder / name).chmod(0o755)
    environment = clean_environment(PORT=str(port), WEB_WORKERS="1", DATA_DIR=str(folder), BCRYPT_ROUNDS="4")
    with running([sys.executable, "manage.py", "serve"], environment, "Ctrl-C ends it"):
        url = f"http://127.0.0.1:{port}/api/v1/auth"
        assert requests.post(f"{url}/register/", json=PERSON, timeout=20).status_code == 201
        assert requests.post(f"{url}/login/", json=PERSON, timeout=20).status_code == 200
        (folder / "users.csv").write_text("email\nbruno@example.com\nnonsense\n")
        (folder / "users.csv").chmod(0o600)
        run("import_users", str(folder / "users.csv"), "--report", str(folder / "report.csv"))
        assert run("export_users", str(folder / "export.csv")).returncode == 0
        assert run("backup", str(folder / "backup.tar.gz")).returncode == 0
        eventually(lambda: list(folder.glob("mail/*.eml")))
        names = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
        assert names >= {"usermanager.sqlite3-wal", "usermanager.sqlite3-shm", "relay.sock", "hashing", "report.csv"}
        assert open_to_others(folder) == []


@pytest.fixture
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    """A folder with files of the product, and others, that group or others may read."""
    settings.DATA_DIR, settings.IS_SQLITE = tmp_path, True
    settings.DATABASE = {"NAME": str(tmp_path / "elsewhere" / "users.db")}
    for name in ("elsewhere/users.db", "elsewhere/users.db-wal", "elsewhere/notes.txt", "secret_key", "mail/a.eml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    (tmp_path / "mail").chmod(0o750)
    (tmp_path / "elsewhere").chmod(0o700)
    (tmp_path / "templates").symlink_to(tmp_path / "elsewhere")
    return tmp_path


def test_what_is_the_products_is_repaired_and_what_is_not_is_named(data_dir: Path) -> None:
    assert len(private_files.readable()) == 6
    private_files.repair()
    assert private_files.readable() == [data_dir / "elsewhere" / "notes.txt"]
    assert stat.S_IMODE((data_dir / "mail").stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "mail" / "a.eml").stat().st_mode) == 0o600


def test_a_file_of_another_owner_is_left_alone_and_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: data_dir.stat().st_uid + 1)
    private_files.repair()
    assert data_dir / "secret_key" in private_files.readable()


def test_a_read_only_folder_stops_no_start(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with caplog.at_level(logging.WARNING):
        private_files.repair()
    assert f"{data_dir / 'secret_key'} can be read by others" in caplog.text
    assert data_dir / "secret_key" in private_files.readable()


def test_a_folder_that_may_not_be_read_stops_no_check(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as `lost+found`, which is root's, on a volume of its own."""
    (data_dir / "lost+found").mkdir(mode=0o700)
    enter = Path.iterdir

    def enter_others(path: Path) -> Iterator[Path]:
        if path.name == "lost+found":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return enter(path)

    monkeypatch.setattr(Path, "iterdir", enter_others)
    assert data_dir / "secret_key" in private_files.readable()


@pytest.mark.process
def test_without_a_writable_temporary_folder_a_line_says_what_to_do(tmp_path: Path) -> None:
    """The limit lets the process write no file at all, wherever that is."""
    command = f"ulimit -f 0 && exec {sys.executable} manage.py serve"
    environment = clean_environment(DATA_DIR=str(tmp_path), SECRET_KEY="x" * 50, TMPDIR="/nowhere")
    shell = partial(subprocess.run, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    ended = shell(["/bin/sh", "-c", command], check=False)
    assert ended.returncode == 2
    assert ended.stderr == "TMPDIR cannot be used: write a folder in which this user may write, unlike /nowhere.\n"
