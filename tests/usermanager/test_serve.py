"""`manage.py serve` as an operator sees it: real processes, from the summary to the last signal."""

import http.client
import os
import re
import signal
import socket
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from django.core.management import load_command_class

from tests.usermanager.processes import (
    PROJECT,
    Running,
    clean_environment,
    descendants,
    eventually,
    free_port,
    is_alive,
    manage,
    running,
)

pytestmark = pytest.mark.process

READY = "Data "  # the last line of the summary


@pytest.fixture
def port() -> int:
    return free_port()


def serving(folder: Path, port: int, **environment: str) -> AbstractContextManager[Running]:
    command = [sys.executable, str(PROJECT / "manage.py"), "serve"]
    variables = {"DATA_DIR": str(folder), "PORT": str(port), "WEB_WORKERS": "1", "BCRYPT_ROUNDS": "4"} | environment
    return running(command, clean_environment(**variables), ready=READY)


@pytest.fixture
def product(tmp_path: Path, port: int) -> Iterator[Running]:
    with serving(tmp_path / "var", port) as process:
        yield process


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == http.HTTPStatus.OK)
    except OSError:
        return False


def test_it_is_ready_when_it_says_so(product: Running, port: int) -> None:
    assert answers(port)
    assert product.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process_and_frees_the_port(product: Running, port: int, number: signal.Signals) -> None:
    below = descendants(product.pid)
    assert len(below) >= 3
    assert product.stop(number) == 0
    assert not any(map(is_alive, below))
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_kill_9_leaves_no_process(product: Running, port: int) -> None:
    below = descendants(product.pid)
    os.kill(product.pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, below)))


def test_a_web_server_that_dies_comes_back_on_the_same_socket(product: Running, port: int) -> None:
    [web] = [pid for pid in descendants(product.pid) if "gunicorn" in _command(pid) and _parent(pid) == product.pid]
    os.kill(web, signal.SIGKILL)
    socket.create_connection(("127.0.0.1", port)).close()  # it waits in line instead of being refused
    eventually(lambda: answers(port))


def test_the_first_start_shows_the_password_and_the_second_is_quick(tmp_path: Path, port: int) -> None:
    first = _printed(tmp_path / "var", port)
    assert re.search(r"admin@example\.com with the password \S{12,} \(shown this once\)", first)
    assert f"http://localhost:{port}/api/docs/" in first
    assert str(tmp_path / "var" / "mail") in first
    began = time.monotonic()
    second = _printed(tmp_path / "var", port)
    assert "password" not in second
    assert time.monotonic() - began < 15  # in a suite that keeps every core busy; alone it takes a tenth of that


def test_a_taken_port_is_told_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = manage("serve", DATA_DIR=str(tmp_path), PORT=str(port))
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert f"Port {port} is taken" in line
    assert "PORT=8000" in line
    assert not (tmp_path / "usermanager.sqlite3").exists()


def test_an_address_of_another_machine_is_told_in_one_line(tmp_path: Path, port: int) -> None:
    ended = manage("serve", DATA_DIR=str(tmp_path), PORT=str(port), BIND="192.0.2.1")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "BIND=127.0.0.1" in ended.stderr


@pytest.mark.parametrize("command", ["serve", "prune"])
@pytest.mark.parametrize("url", ["postgres://ana:hunter2@127.0.0.1:{port}/users", "sqlite:////nowhere/users.sqlite3"])
def test_a_database_that_is_away_is_told_in_one_line(tmp_path: Path, port: int, command: str, url: str) -> None:
    away = url.format(port=free_port())
    ended = manage(command, DATA_DIR=str(tmp_path), PORT=str(port), DATABASE_URL=away)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "write that in DATABASE_URL, such as sqlite:////path/file.sqlite3 or postgres://" in ended.stderr
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize(("password", "why"), [("123", "at least 8 characters"), ("password1234", "too easy to guess")])
def test_a_weak_password_for_the_first_admin_is_told_in_one_line(tmp_path: Path, password: str, why: str) -> None:
    ended = manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4", ADMIN_PASSWORD=password)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "ADMIN_PASSWORD cannot be used: write " in ended.stderr
    assert why in ended.stderr
    assert password not in ended.stderr
    assert "with the password" in manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4").stdout  # nobody was made


def test_prepare_does_the_same_without_serving(tmp_path: Path) -> None:
    assert "with the password" in manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4").stdout
    again = manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4")
    assert (again.stdout, again.stderr) == ("", "")
    with closing(sqlite3.connect(tmp_path / "usermanager.sqlite3")) as database, database:
        database.execute("UPDATE accounts_user SET email_verified = FALSE")
    told = manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4").stderr
    assert "No active administrator has a confirmed address: python manage.py users verify EMAIL" in told


@pytest.mark.parametrize("command", ["serve", "prepare", "prune", "backup"])
def test_help_ends_in_an_example(command: str) -> None:
    parser = load_command_class("usermanager", command).create_parser("manage.py", command)
    assert "\nexample:\n  " in parser.format_help()


def test_an_option_that_does_not_exist_ends_with_status_2() -> None:
    assert manage("serve", "--nonsense").returncode == 2


def _printed(folder: Path, port: int) -> str:
    """What a start prints until it is ready."""
    with serving(folder, port) as product:
        assert product.stop() == 0
        return product.printed


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
