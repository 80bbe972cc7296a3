"""Only the owner can read the files in DATA_DIR, for any mode of the folder and any umask of the process.

A process that cannot write temporary files does not start.
"""

import errno
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
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
    """Sets the umask of most shells, with which others may read new files."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Returns the paths below the folder that others may read, with their modes."""
    paths = sorted(path for path in folder.rglob("*") if path.lstat().st_mode & 0o077)
    return [f"{path.relative_to(folder)} {stat.filemode(path.lstat().st_mode)}" for path in paths]


@pytest.mark.process
@pytest.mark.usefixtures("open_umask")
def test_no_file_of_a_running_product_is_readable_by_others(tmp_path: Path) -> None:
    folder, port = tmp_path / "var", free_port()
    folder.mkdir(mode=0o755)
    (folder / "templates").mkdir(mode=0o755)
    run = partial(manage, cwd=PROJECT, DATA_DIR=str(folder), BCRYPT_ROUNDS="4")
    assert run("prepare").returncode == 0
    for name in ("usermanager.sqlite3", "secret_key", "keys"):  # as an older version left them
        (folder / name).chmod(0o755)
    environment = clean_environment(PORT=str(port), WEB_WORKERS="1", DATA_DIR=str(folder), BCRYPT_ROUNDS="4")
    with running(["manage.py", "serve"], environment, "Ctrl-C ends it"):
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
    """Creates a folder with files, of the product and foreign ones, that group or others may read."""
    settings.DATA_DIR, settings.IS_SQLITE = tmp_path, True
    settings.DATABASE_FILE = str(tmp_path / "elsewhere" / "users.db")
    for name in ("elsewhere/users.db", "elsewhere/users.db-wal", "elsewhere/notes.txt", "secret_key", "mail/a.eml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    (tmp_path / "mail").chmod(0o750)
    (tmp_path / "elsewhere").chmod(0o700)
    (tmp_path / "templates").symlink_to(tmp_path / "elsewhere")
    return tmp_path


def test_files_of_the_product_are_repaired_and_foreign_ones_reported(data_dir: Path) -> None:
    assert len(private_files.readable_by_others()) == 6
    private_files.repair()
    assert private_files.readable_by_others() == [data_dir / "elsewhere" / "notes.txt"]
    assert stat.S_IMODE((data_dir / "mail").stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "mail" / "a.eml").stat().st_mode) == 0o600


def test_a_file_of_another_owner_is_not_changed_but_reported(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: data_dir.stat().st_uid + 1)
    private_files.repair()
    assert data_dir / "secret_key" in private_files.readable_by_others()


def test_the_product_starts_with_a_read_only_folder(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with caplog.at_level(logging.WARNING):
        private_files.repair()
    assert f"Other users can read {data_dir / 'secret_key'}" in caplog.text
    assert data_dir / "secret_key" in private_files.readable_by_others()


def test_the_check_skips_a_folder_that_it_may_not_read(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example is `lost+found`, which belongs to root, on a separate volume."""
    (data_dir / "lost+found").mkdir(mode=0o700)
    enter = Path.iterdir

    def enter_others(path: Path) -> Iterator[Path]:
        if path.name == "lost+found":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return enter(path)

    monkeypatch.setattr(Path, "iterdir", enter_others)
    assert data_dir / "secret_key" in private_files.readable_by_others()


@pytest.mark.process
def test_without_a_writable_temporary_folder_one_line_says_what_to_do(tmp_path: Path) -> None:
    """The limit forbids the process to write any file."""
    command = f"ulimit -f 0 && exec {sys.executable} manage.py serve"
    environment = clean_environment(DATA_DIR=str(tmp_path), SECRET_KEY="x" * 50, TMPDIR="/nowhere")
    shell = partial(subprocess.run, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    ended = shell(["/bin/sh", "-c", command], check=False)
    assert ended.returncode == 2
    assert (
        ended.stderr
        == "TMPDIR cannot be used: write the path of a directory that this user can write to (/nowhere is not one).\n"
    )


@pytest.mark.parametrize("write", [private_files.create_once, private_files.replace])
def test_a_write_that_fails_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], None]
) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "key", b"secret")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_created_once_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for write, content in (
        (private_files.create_once, b"first"),
        (private_files.create_once, b"second"),
        (private_files.replace, b"third"),
    ):
        write(path, content)
        assert path.read_bytes() == (b"third" if content == b"third" else b"first")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
